//! Collects the services and the programs of all functions, so that none has to be named here.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let here = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let out = PathBuf::from(env::var("OUT_DIR")?);

    let folder = here.join("../functions").canonicalize()?;
    println!("cargo::rerun-if-changed={}", folder.display());
    let mut services = String::new();
    // A service that is a process of its own has its program with it.
    let mut programs = sorted(&here.join("src/bin"))?;
    for service in sorted(&folder)? {
        if service.join("Cargo.toml").is_file() {
            let own = service.join("src/bin");
            if own.is_dir() {
                println!("cargo::rerun-if-changed={}", own.display());
                programs.extend(sorted(&own)?);
            }
            let name = file_stem(&service)?;
            let module = name.replace('-', "_");
            writeln!(
                services,
                "    Service {{ name: {name:?}, routes: {module}::ROUTES, \
                 document: <{module}::Documentation as utoipa::OpenApi>::openapi }},"
            )?;
        }
    }
    let code =
        format!("/// Every service, by name.\npub const SERVICES: &[Service] = &[\n{services}];\n");
    fs::write(out.join("services.rs"), code)?;

    println!("cargo::rerun-if-changed={}", here.join("src/bin").display());
    let mut modules = String::new();
    let mut calls = String::new();
    for program in programs.into_iter().filter(|file| is_source(file)) {
        let name = file_stem(&program)?;
        let module = name.replace('-', "_");
        let path = program.to_string_lossy();
        writeln!(modules, "#[path = {path:?}]\nmod {module};")?;
        writeln!(calls, "        {name:?} => {module}::main(),")?;
    }
    let code = format!(
        "{modules}
/// Runs the program of this function, or returns `None` if there is no such function.
#[allow(clippy::too_many_lines)]
fn run(function: &str) -> Option<Result<(), api::Error>> {{
    Some(match function {{
{calls}        _ => return None,
    }})
}}
"
    );
    fs::write(out.join("functions.rs"), code)?;
    Ok(())
}

/// Whether cargo takes this file for a program too, and not for what an editor has put beside one.
fn is_source(file: &Path) -> bool {
    let is_hidden = file
        .file_name()
        .is_some_and(|name| name.to_string_lossy().starts_with('.'));
    !is_hidden && file.extension().is_some_and(|extension| extension == "rs")
}

fn file_stem(path: &Path) -> Result<String, Box<dyn std::error::Error>> {
    let stem = path.file_stem().ok_or("a path without a name")?;
    Ok(stem.to_string_lossy().into_owned())
}

fn sorted(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder)?;
    let mut paths = entries
        .map(|entry| Ok(entry?.path()))
        .collect::<io::Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}
