//! Writes `docs/permissions.md`, `docs/function-permissions.md` and what roles may do in `README.md`.

use std::{fs, path::Path};

use system_tests::permission_documents;

fn main() -> anyhow::Result<()> {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let template = fs::read_to_string(repository.join("template.yaml"))?;
    let docs = repository.join("docs");
    fs::write(
        docs.join("permissions.md"),
        permission_documents::of_roles()?,
    )?;
    fs::write(
        docs.join("function-permissions.md"),
        permission_documents::of_functions(&template)?,
    )?;
    let readme = repository.join("README.md");
    let written = permission_documents::in_readme(&fs::read_to_string(&readme)?)?;
    fs::write(readme, written)?;
    Ok(())
}
