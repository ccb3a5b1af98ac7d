//! Takes Swagger UI out of its archive, so that `/docs` is served by us alone.

use std::{
    borrow::Cow,
    env,
    error::Error,
    fs::File,
    io::{self, Cursor},
    path::PathBuf,
};

use utoipa_swagger_ui_vendored::SWAGGER_UI_VENDORED;
use zip::ZipArchive;

const SWAGGER_UI: [&str; 2] = ["swagger-ui-bundle.js", "swagger-ui.css"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");

    let out = PathBuf::from(env::var("OUT_DIR")?);
    let mut archive = ZipArchive::new(Cursor::new(SWAGGER_UI_VENDORED))?;
    for file in SWAGGER_UI {
        let end = format!("/dist/{file}");
        let name = archive
            .file_names()
            .filter_map(Result::ok)
            .find(|name| name.ends_with(&end))
            .map(Cow::into_owned)
            .ok_or_else(|| format!("Swagger UI has no {file}"))?;
        io::copy(
            &mut archive.by_name(&name)?,
            &mut File::create(out.join(file))?,
        )?;
    }
    Ok(())
}
