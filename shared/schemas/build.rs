//! Collects the services that have a schema, so that none has to be named here. Also notices new
//! migrations: the macro that reads them only tracks files that already existed.

use std::fmt::Write as _;
use std::{env, error::Error, fs, path::Path};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    // The folder itself, in case a service without migrations gets some.
    let functions = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("../../functions");
    println!("cargo::rerun-if-changed={}", functions.display());
    let mut names = Vec::new();
    for service in fs::read_dir(functions)? {
        let service = service?;
        let migrations = service.path().join("migrations");
        if migrations.is_dir() {
            println!("cargo::rerun-if-changed={}", migrations.display());
            let name = service.file_name().into_string();
            names.push(name.map_err(|name| format!("{} is not a valid name", name.display()))?);
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
/// A service with its own schema of the same name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {{
{variants}}}

impl Service {{
    /// All of them, by name. None depends on another, so the order does not matter.
    pub const ALL: [Self; {count}] = [{all}];

    /// The name of the service and of its schema.
    #[must_use]
    pub const fn name(self) -> &'static str {{
        match self {{
{called}        }}
    }}

    /// The migrations from an empty database to the current schema.
    #[must_use]
    pub fn migrations(self) -> Migrator {{
        match self {{
{migrations}        }}
    }}
}}
"
    ))
}
