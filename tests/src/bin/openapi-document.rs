//! Writes `docs/openapi.json` anew. Run it after a change of a route.

use std::{fs, path::Path};

use anyhow::Context as _;

fn main() -> anyhow::Result<()> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/openapi.json");
    let json = system_tests::openapi_document::json()?;
    fs::write(&file, json).with_context(|| format!("cannot write {}", file.display()))
}
