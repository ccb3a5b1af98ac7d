//! The folder of what is installed, and how something is put into it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::files;
use crate::progress::Step;
use crate::settings::Settings;
use crate::tool::Tool;

/// Written last, so that an interrupted installation never counts as one.
pub(super) const COMPLETE: &str = ".complete";

/// The folder of installed tools.
pub struct Cache<'a> {
    pub(super) settings: &'a Settings,
}

impl<'a> Cache<'a> {
    /// The cache that the settings name.
    #[must_use]
    pub const fn new(settings: &'a Settings) -> Self {
        Self { settings }
    }

    /// The folder of what all stacks of this repository compile and install from.
    pub(super) fn recipes(&self) -> PathBuf {
        self.settings.repository.join("localstack")
    }

    /// Installs into a folder unless that has been done. Other stacks wait meanwhile.
    pub(super) fn install(
        &self,
        step: &Step<'_>,
        folder: &Path,
        proof: &Path,
        work: impl FnOnce(&Tool<'_>) -> Result<()>,
    ) -> Result<()> {
        let is_complete = || folder.join(COMPLETE).exists() && proof.exists();
        if is_complete() {
            return Ok(());
        }
        let label = folder.file_name().unwrap_or_default().to_string_lossy();
        let _lock = self.lock(step, folder)?;
        if is_complete() {
            return Ok(());
        }
        files::remove(folder)?;
        let tool = Tool::new(step, &self.settings.log(&format!("install-{label}")))?;
        work(&tool)?;
        if !proof.exists() {
            return Err(tool
                .failure(format!("{} was not installed", proof.display()))
                .into());
        }
        files::replace(&folder.join(COMPLETE), b"")
    }

    fn lock(&self, step: &Step<'_>, folder: &Path) -> Result<File> {
        let mut name = folder.as_os_str().to_owned();
        name.push(".lock");
        let path = PathBuf::from(name);
        files::create_folder(path.parent().unwrap_or(&self.settings.cache))?;
        let file =
            File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(fs::TryLockError::WouldBlock) => {
                    step.check()?;
                    step.doing("waiting for another command that is installing the same thing");
                    thread::sleep(Duration::from_millis(200));
                }
                Err(fs::TryLockError::Error(error)) => return Err(error.into()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use anyhow::bail;

    use super::*;
    use crate::cancellation::Cancellation;
    use crate::progress::Progress;

    fn install(directory: &Path, work: impl Fn(&Path) -> Result<()>) -> Result<()> {
        let mut settings = Settings::from_environment().unwrap();
        settings.cache = directory.join("cache");
        settings.directory = directory.join("stack");
        let folder = settings.cache.join("broker-1.0");
        Progress::new(Cancellation::default()).step("install", |step| {
            Cache::new(&settings).install(step, &folder, &folder.join("broker"), |_| work(&folder))
        })
    }

    fn write_program(folder: &Path) -> Result<()> {
        files::replace(&folder.join("broker"), b"program")
    }

    #[test]
    fn an_installation_is_done_once() {
        let directory = tempfile::tempdir().unwrap();
        install(directory.path(), write_program).unwrap();
        install(directory.path(), |_| bail!("must not install again")).unwrap();
    }

    #[test]
    fn an_interrupted_installation_is_not_taken_for_a_whole_one() {
        let directory = tempfile::tempdir().unwrap();
        let interrupted = install(directory.path(), |folder| {
            write_program(folder)?;
            bail!("interrupted")
        });
        assert!(interrupted.is_err());
        let leftover = install(directory.path(), |folder| {
            assert!(!folder.exists(), "the unfinished rest must be gone");
            write_program(folder)
        });
        leftover.unwrap();
    }

    #[test]
    fn an_installation_without_its_program_is_a_failure() {
        let directory = tempfile::tempdir().unwrap();
        let error = install(directory.path(), files::create_folder).unwrap_err();
        assert!(
            error.to_string().contains("broker was not installed"),
            "{error}"
        );
    }
}
