//! Tools that take long to install: done once per version, into a folder that all
//! stacks and all clones of the repository share.

mod python;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

pub use self::python::{PythonEnvironment, python_command};
use crate::files;
use crate::fingerprint::Fingerprint;
use crate::progress::Step;
use crate::settings::Settings;
use crate::tool::Tool;

/// The environments that have a lock in `localstack/locks`.
pub const PYTHON_ENVIRONMENTS: [&str; 2] = ["tools", "localstack"];

/// Written last, so that an interrupted installation never counts as one.
const COMPLETE: &str = ".complete";

/// A program that is compiled from the registry.
pub struct CargoPackage {
    /// Name of the package.
    pub name: &'static str,
    /// Exact version.
    pub version: &'static str,
    /// Name of its program.
    pub program: &'static str,
    /// The features that are needed, instead of the default ones.
    pub features: &'static str,
    /// How long the compilation takes, for people.
    pub duration: &'static str,
}

/// The folder of installed tools.
pub struct Cache<'a> {
    settings: &'a Settings,
}

impl<'a> Cache<'a> {
    /// The cache that the settings name.
    #[must_use]
    pub const fn new(settings: &'a Settings) -> Self {
        Self { settings }
    }

    /// The Python environment with exactly the packages of `localstack/locks/<name>.txt`.
    ///
    /// # Errors
    /// If there is no usable Python, or a package cannot be installed.
    pub fn python_environment(&self, step: &Step<'_>, name: &str) -> Result<PythonEnvironment> {
        let (folder, lock) = self.python_folder(name)?;
        let environment = PythonEnvironment::new(&folder);
        self.install(step, &folder, &environment.python(), |tool| {
            step.doing("installing Python packages");
            python::install(tool, self.settings.python.as_deref(), &folder, &lock)
        })?;
        Ok(environment)
    }

    /// The folders of the programs of all Python environments that are installed.
    ///
    /// # Errors
    /// If a lock cannot be read.
    pub fn installed_programs(&self) -> Result<Vec<PathBuf>> {
        let mut installed = Vec::new();
        for name in PYTHON_ENVIRONMENTS {
            if self.is_installed(name)? {
                installed.push(self.python(name)?.programs());
            }
        }
        Ok(installed)
    }

    /// Whether the Python environment of that name is there.
    ///
    /// # Errors
    /// If its lock cannot be read.
    pub fn is_installed(&self, name: &str) -> Result<bool> {
        let (folder, _) = self.python_folder(name)?;
        Ok(folder.join(COMPLETE).exists())
    }

    /// The Python environment of that name, which may not be installed.
    ///
    /// # Errors
    /// If its lock cannot be read.
    pub fn python(&self, name: &str) -> Result<PythonEnvironment> {
        let (folder, _) = self.python_folder(name)?;
        Ok(PythonEnvironment::new(&folder))
    }

    /// Where the program of a package is, or will be.
    #[must_use]
    pub fn program_of(&self, package: &CargoPackage) -> PathBuf {
        self.package_folder(package)
            .join("bin")
            .join(package.program)
    }

    fn package_folder(&self, package: &CargoPackage) -> PathBuf {
        let label = format!("{}-{}", package.program, package.version);
        self.settings.cache.join(label)
    }

    /// The program of a package from the registry.
    ///
    /// # Errors
    /// If it cannot be compiled.
    pub fn cargo_program(&self, step: &Step<'_>, package: &CargoPackage) -> Result<PathBuf> {
        let folder = self.package_folder(package);
        let program = self.program_of(package);
        self.install(step, &folder, &program, |tool| {
            step.announce(&format!(
                "compiling {} {} once, into {} ({})",
                package.name,
                package.version,
                folder.display(),
                package.duration
            ));
            // Kept when interrupted, so that the next attempt goes on from there.
            let label = format!("{}-{}.build", package.program, package.version);
            let target = self.settings.cache.join(label);
            tool.run(
                // In the repository, because its Rust version is the one to use.
                Command::new("cargo")
                    .current_dir(&self.settings.repository)
                    .args([
                        "install",
                        package.name,
                        "--version",
                        package.version,
                        "--locked",
                    ])
                    .args(["--no-default-features", "--features", package.features])
                    .args(["--ignore-rust-version", "--no-track", "--force", "--root"])
                    .arg(&folder)
                    .env("CARGO_TARGET_DIR", &target)
                    .env_remove("CARGO_BUILD_TARGET")
                    .env_remove("RUSTFLAGS"),
            )?;
            files::remove(&target)
        })?;
        Ok(program)
    }

    /// One per version of the lock; and the lock.
    fn python_folder(&self, name: &str) -> Result<(PathBuf, PathBuf)> {
        let lock = self
            .settings
            .repository
            .join(format!("localstack/locks/{name}.txt"));
        let content = fs::read(&lock).with_context(|| format!("cannot read {}", lock.display()))?;
        let version = Fingerprint::default().with(content).finish();
        let folder = self.settings.cache.join(format!("python/{name}-{version}"));
        Ok((folder, lock))
    }

    /// Installs into a folder unless that has been done. Other stacks wait meanwhile.
    fn install(
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
                    step.doing("waiting for another stack that is installing it");
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
