//! The functions to be measured.

use std::env;

use anyhow::{Context as _, Result, bail};
use local_stack::template::{Function, Template};

use crate::{Options, repository::repository};

/// The names of the chosen functions' binaries.
///
/// # Errors
/// If the template cannot be read or has no such function.
pub(crate) fn binaries(options: &Options) -> Result<Vec<String>> {
    let functions = functions(options)?.into_iter();
    Ok(functions.map(|function| function.binary).collect())
}

/// The chosen functions, or all of them.
///
/// # Errors
/// If the template cannot be read or has no such function.
pub(crate) fn functions(options: &Options) -> Result<Vec<Function>> {
    let stack = env::var("STACK_NAME").context("STACK_NAME is not set: use `make bench`")?;
    let template = Template::read(&repository().join("template.yaml"))?;
    let mut functions = template.functions(&stack)?;
    for name in &options.functions {
        if functions.iter().all(|function| function.binary != *name) {
            bail!("the template has no function {name}");
        }
    }
    if !options.functions.is_empty() {
        functions.retain(|function| options.functions.contains(&function.binary));
    }
    Ok(functions)
}
