//! Files that are generated from the routes and the parts of the template, for readers and for
//! tools that know nothing of Rust.

pub mod openapi_document;
pub mod permission_documents;
mod programs;
mod routes;
mod sample_events;
mod template;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
pub use template::resource_name;

/// A generated file, which is never edited.
#[derive(Debug)]
pub struct File {
    /// Its path, from the root of the repository.
    pub path: PathBuf,
    /// Its content.
    pub content: String,
}

impl File {
    fn new(path: impl Into<PathBuf>, content: String) -> Self {
        Self {
            path: path.into(),
            content,
        }
    }

    /// Whether the file in the repository has this content.
    ///
    /// # Errors
    /// If the file exists and cannot be read.
    pub fn is_up_to_date(&self, repository: &Path) -> io::Result<bool> {
        match fs::read_to_string(repository.join(&self.path)) {
            Ok(content) => Ok(content == self.content),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// Every generated file.
///
/// # Errors
/// If a source cannot be read or is invalid.
pub fn files(repository: &Path) -> Result<Vec<File>> {
    let read = |path: &str| {
        fs::read_to_string(repository.join(path)).with_context(|| format!("cannot read {path}"))
    };
    let document = openapi_document::document(repository)?;
    let template = template::template(repository, &document)?;
    let mut files = vec![
        File::new("docs/routes.json", routes::json()?),
        File::new("docs/openapi.json", openapi_document::json(&document)?),
        File::new("docs/permissions.md", permission_documents::of_roles()?),
        File::new(
            "docs/function-permissions.md",
            permission_documents::of_functions(&template)?,
        ),
        File::new(
            "README.md",
            permission_documents::in_readme(&read("README.md")?)?,
        ),
        File::new("template.yaml", template),
    ];
    files.extend(programs::all());
    files.extend(sample_events::missing(repository, &document)?);
    Ok(files)
}

/// Writes every file that is not up to date, and returns their paths.
///
/// # Errors
/// As [`files`]; if a file cannot be written.
pub fn write(repository: &Path) -> Result<Vec<PathBuf>> {
    let mut written = Vec::new();
    for file in files(repository)? {
        if file.is_up_to_date(repository)? {
            continue;
        }
        fs::write(repository.join(&file.path), &file.content)
            .with_context(|| format!("cannot write {}", file.path.display()))?;
        written.push(file.path);
    }
    Ok(written)
}
