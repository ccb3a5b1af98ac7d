//! Collects the programs of all functions and the services that they belong to, so that none has
//! to be named here.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let here = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let services = here.join("../../functions").canonicalize()?;
    println!("cargo::rerun-if-changed={}", services.display());

    let mut names = BTreeSet::new();
    let mut modules = String::new();
    let mut calls = String::new();
    let mut crates = String::new();
    for service in sorted(&services)? {
        let programs = service.join("src/bin");
        if !programs.is_dir() {
            continue;
        }
        let name = service.file_name().ok_or("a service without a name")?;
        let name = name.to_string_lossy();
        let module = name.replace('-', "_");
        writeln!(
            crates,
            "    Service {{ name: {name:?}, routes: {module}::ROUTES, \
             document: <{module}::Documentation as utoipa::OpenApi>::openapi }},"
        )?;
        println!("cargo::rerun-if-changed={}", programs.display());
        for program in sorted(&programs)?
            .into_iter()
            .filter(|file| is_source(file))
        {
            let name = program.file_stem().ok_or("a program without a name")?;
            let name = name.to_string_lossy();
            let module = name.replace('-', "_");
            if !names.insert(module.clone()) {
                return Err(format!("two services have a program {name}").into());
            }
            let path = program.to_string_lossy();
            writeln!(modules, "#[path = {path:?}]\nmod {module};")?;
            writeln!(calls, "        {name:?} => {module}::main(),")?;
        }
    }
    let code = format!(
        "{modules}
/// What the program of this function does, or `None` if there is no such function.
fn run(function: &str) -> Option<Result<(), api::Error>> {{
    Some(match function {{
{calls}        _ => return None,
    }})
}}
"
    );
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("functions.rs"), code)?;
    let code =
        format!("/// Every service, by name.\npub const SERVICES: &[Service] = &[\n{crates}];\n");
    fs::write(out.join("services.rs"), code)?;
    Ok(())
}

/// What cargo takes for a program too, and not what an editor has put beside it.
fn is_source(file: &Path) -> bool {
    let is_hidden = file
        .file_name()
        .is_some_and(|name| name.to_string_lossy().starts_with('.'));
    !is_hidden && file.extension().is_some_and(|extension| extension == "rs")
}

fn sorted(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder)?;
    let mut paths = entries
        .map(|entry| Ok(entry?.path()))
        .collect::<io::Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}
