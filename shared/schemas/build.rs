//! Notices new migrations: the macro that reads them knows of those alone that were there.

use std::{env, error::Error, fs, path::Path};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    // The folder itself, for a service that has had none.
    let functions = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("../../functions");
    println!("cargo::rerun-if-changed={}", functions.display());
    for service in fs::read_dir(functions)? {
        let migrations = service?.path().join("migrations");
        if migrations.is_dir() {
            println!("cargo::rerun-if-changed={}", migrations.display());
        }
    }
    Ok(())
}
