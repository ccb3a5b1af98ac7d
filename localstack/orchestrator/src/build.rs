//! Compiling what is deployed: the functions and the billing service.

mod apart;
mod built;
mod cargo;
mod together;

use anyhow::Result;

pub use self::built::{Built, Code};
pub use self::cargo::without_traces_of_cargo_run;
use crate::progress::Step;
use crate::service::Service;
use crate::settings::Settings;
use crate::template::Function;

/// Compiles the functions and the billing service.
///
/// # Errors
/// If something does not compile.
pub fn build(settings: &Settings, step: &Step<'_>, functions: &[Function]) -> Result<Built> {
    if settings.starts(Service::Localstack) {
        together::build(settings, step, functions)
    } else {
        apart::build(settings, step, functions)
    }
}
