//! One command at a time on one stack.

use std::fs::{File, TryLockError};

use anyhow::{Context, Result, bail};

use crate::files;
use crate::settings::Settings;

/// Held while a command changes the stack; given back when dropped, or when the process
/// ends in whatever way.
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    /// # Errors
    /// If another command is at work on the same stack.
    pub(super) fn take(settings: &Settings) -> Result<Self> {
        files::create_folder(&settings.directory)?;
        let path = settings.directory.join("lock");
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .with_context(|| format!("cannot write {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => bail!(
                "another command is working on the stack in {}: wait until it has ended, or end it with Ctrl-C",
                settings.directory.display()
            ),
            Err(TryLockError::Error(error)) => Err(error).context("cannot lock the stack"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_command_is_told_that_there_is_a_first_one() {
        let directory = tempfile::tempdir().unwrap();
        let mut settings = Settings::from_environment().unwrap();
        settings.directory = directory.path().to_path_buf();
        let first = Lock::take(&settings).unwrap();
        let error = Lock::take(&settings).err().unwrap().to_string();
        assert!(error.contains("another command"), "{error}");
        drop(first);
        Lock::take(&settings).unwrap();
    }
}
