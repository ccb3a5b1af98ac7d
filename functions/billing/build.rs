//! Puts the clinic's logo, if there is one, into the functions that make documents, and the number of the
//! newest migration into the one that has to know whether the schema is older.

use std::{env, fs, io, path::PathBuf};

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=letterhead");
    let folder = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let files = ["logo.png", "logo.jpg"].map(|name| folder.join("letterhead").join(name));
    let logo = match files.iter().find(|file| file.is_file()) {
        Some(file) => format!(
            "Some(include_bytes!({:?}).as_slice())",
            file.display().to_string()
        ),
        None => "None".to_owned(),
    };
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    fs::write(out.join("logo.rs"), logo)?;

    println!("cargo::rerun-if-changed=migrations");
    let mut newest = 0;
    for file in fs::read_dir(folder.join("migrations"))? {
        let name = file?.file_name().to_string_lossy().into_owned();
        let number = name
            .split('_')
            .next()
            .and_then(|number| number.parse().ok());
        newest = newest.max(number.unwrap_or(0_i64));
    }
    fs::write(out.join("newest_migration.rs"), newest.to_string())
}
