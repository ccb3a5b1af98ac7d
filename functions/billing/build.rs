//! Puts the clinic's logo, if there is one, into the functions that make documents.

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
    fs::write(out.join("logo.rs"), logo)
}
