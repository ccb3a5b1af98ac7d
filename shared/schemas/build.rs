//! Collects the services that have a schema, so that none has to be named here, and notices new
//! migrations: the macro that reads them knows of those alone that were there.

use std::fmt::Write as _;
use std::{env, error::Error, fs, path::Path};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    // The folder itself, for a service that has had none.
    let functions = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("../../functions");
    println!("cargo::rerun-if-changed={}", functions.display());
    let mut names = Vec::new();
    for service in fs::read_dir(functions)? {
        let service = service?;
        let migrations = service.path().join("migrations");
        if migrations.is_dir() {
            println!("cargo::rerun-if-changed={}", migrations.display());
            let name = service.file_name().into_string();
            names.push(name.map_err(|name| format!("{} is no name", name.display()))?);
        }
    }
    names.sort();
    let out = Path::new(&env::var("OUT_DIR")?).join("services.rs");
    fs::write(out, service_type(&names)?)?;
    Ok(())
}

/// The type of the services that have a schema.
fn service_type(names: &[String]) -> Result<String, Box<dyn Error>> {
    let (mut variants, mut all) = (String::new(), String::new());
    let (mut called, mut migrations) = (String::new(), String::new());
    for name in names {
        let (first, rest) = name.split_at(1);
        let variant = first.to_uppercase() + rest;
        writeln!(variants, "    /// The schema `{name}`.\n    {variant},")?;
        write!(all, "Self::{variant}, ")?;
        writeln!(called, "            Self::{variant} => {name:?},")?;
        writeln!(
            migrations,
            "            Self::{variant} => sqlx::migrate!(\"../../functions/{name}/migrations\"),"
        )?;
    }
    let count = names.len();
    Ok(format!(
        "\
/// A service that has a schema of its own, which is named like it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {{
{variants}}}

impl Service {{
    /// All of them, by name. None depends on another, so neither does the order matter.
    pub const ALL: [Self; {count}] = [{all}];

    /// What the service and its schema are called.
    #[must_use]
    pub const fn name(self) -> &'static str {{
        match self {{
{called}        }}
    }}

    /// The steps from nothing to the schema of now.
    #[must_use]
    pub fn migrations(self) -> Migrator {{
        match self {{
{migrations}        }}
    }}
}}
"
    ))
}
