//! A file that is too large for memory, written part by part.

use serde::{Deserialize, Serialize};

use crate::files::{FileError, Files, Part};

/// When what there is becomes a part, in bytes: every part but the last must have 5 MiB.
pub(crate) const SAVED_AT: usize = 5 * 1024 * 1024;

/// The parts of a file so far. Whoever keeps them can go on where they were.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Parts {
    upload: String,
    written: Vec<Part>,
    is_whole: bool,
}

impl Parts {
    /// Begins a file.
    ///
    /// # Errors
    /// If the bucket fails.
    pub(crate) async fn begin(files: &Files, key: &str, kind: &str) -> Result<Self, FileError> {
        Ok(Self {
            upload: files.begin(key, kind).await?,
            written: Vec::new(),
            is_whole: false,
        })
    }

    /// Writes the next part.
    ///
    /// # Errors
    /// If the bucket fails. Then it can be tried again.
    pub(crate) async fn write(
        &mut self,
        files: &Files,
        key: &str,
        content: Vec<u8>,
    ) -> Result<(), FileError> {
        let number = i32::try_from(self.written.len()).unwrap_or(i32::MAX) + 1;
        let part = files.write(key, &self.upload, number, content).await?;
        self.written.push(part);
        Ok(())
    }

    /// Writes the last part, which may be short. What is left then is to [finish](Self::finish).
    ///
    /// # Errors
    /// If the bucket fails. Then it can be tried again.
    pub(crate) async fn end(
        &mut self,
        files: &Files,
        key: &str,
        content: Vec<u8>,
    ) -> Result<(), FileError> {
        if !content.is_empty() || self.written.is_empty() {
            self.write(files, key, content).await?;
        }
        self.is_whole = true;
        Ok(())
    }

    /// Whether the last part is written.
    pub(crate) const fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// Makes the parts the file. It is the file already if this was done before, and nobody has heard
    /// of it.
    ///
    /// # Errors
    /// If the bucket fails. Then it can be tried again.
    pub(crate) async fn finish(self, files: &Files, key: &str) -> Result<(), FileError> {
        match files.finish(key, &self.upload, self.written).await {
            Err(FileError::NoSuchUpload) if files.length(key).await?.is_some() => Ok(()),
            outcome => outcome,
        }
    }
}
