//! The archive that Lambda fetches before it starts a function.

use std::{
    fs::File,
    io::{Cursor, copy},
    path::Path,
};

use anyhow::{Context as _, Result};
use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

/// The size of an archive that contains only this binary, in bytes.
///
/// # Errors
/// If the binary cannot be read.
pub(crate) fn zipped_size(program: &Path) -> Result<u64> {
    let mut file =
        File::open(program).with_context(|| format!("cannot read {}", program.display()))?;
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
    archive.start_file("bootstrap", options)?;
    copy(&mut file, &mut archive)?;
    Ok(archive.finish()?.into_inner().len().try_into()?)
}
