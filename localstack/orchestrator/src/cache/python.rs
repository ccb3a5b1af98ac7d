//! A Python environment of its own for tools that are written in Python.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::files;
use crate::tool::Tool;

/// The versions that the locked packages are known to work with, best first.
const CANDIDATES: [&str; 4] = ["python3.11", "python3.12", "python3.13", "python3"];

const QUESTION: &str =
    "import sys, venv, ensurepip; print(sys.version_info[0], sys.version_info[1])";

/// An installed environment.
#[derive(Clone, Debug)]
pub struct PythonEnvironment {
    folder: PathBuf,
}

impl PythonEnvironment {
    pub(super) fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_path_buf(),
        }
    }

    /// The interpreter.
    #[must_use]
    pub fn python(&self) -> PathBuf {
        self.program("python")
    }

    /// A program that one of the packages brings.
    #[must_use]
    pub fn program(&self, name: &str) -> PathBuf {
        self.programs().join(name)
    }

    /// The folder of all programs.
    #[must_use]
    pub fn programs(&self) -> PathBuf {
        self.folder.join("bin")
    }

    /// The folder of an installed package.
    ///
    /// # Errors
    /// If the environment has no such package.
    pub fn package(&self, name: &str) -> Result<PathBuf> {
        let library = self.folder.join("lib");
        let versions = library
            .read_dir()
            .with_context(|| format!("cannot read {}", library.display()))?;
        for version in versions {
            let package = version?.path().join("site-packages").join(name);
            if package.is_dir() {
                return Ok(package);
            }
        }
        bail!("{} has no package {name}", self.folder.display())
    }
}

/// Creates the environment in `folder`. It cannot be moved afterwards, because its
/// programs know where they are.
pub(super) fn install(
    tool: &Tool<'_>,
    chosen: Option<&Path>,
    folder: &Path,
    lock: &Path,
) -> Result<()> {
    let python = find(chosen)?;
    tool.run(python_command(&python).args(["-m", "venv"]).arg(folder))?;
    // The lock is complete, so there is nothing for pip to resolve.
    tool.run(
        python_command(&folder.join("bin/python"))
            .args(["-m", "pip", "install", "--no-deps", "--no-input"])
            .args([
                "--disable-pip-version-check",
                "--progress-bar=off",
                "--requirement",
            ])
            .arg(lock),
    )
    .inspect_err(|_| {
        // Nothing is lost if this fails too: the folder does not count as complete.
        let _ = files::remove(folder);
    })
}

/// A command that does not see a Python environment that the user may have activated.
#[must_use]
pub fn python_command(python: &Path) -> Command {
    let mut command = Command::new(python);
    command
        .env_remove("PYTHONPATH")
        .env_remove("PYTHONHOME")
        .env_remove("VIRTUAL_ENV");
    command
}

fn find(chosen: Option<&Path>) -> Result<PathBuf> {
    if let Some(python) = chosen {
        return match version_of(python) {
            Some(version) if version >= (3, 11) => Ok(python.to_path_buf()),
            Some((major, minor)) => {
                bail!(
                    "STACK_PYTHON is {}, which is Python {major}.{minor}; 3.11 or later is needed",
                    python.display()
                )
            }
            None => bail!(
                "STACK_PYTHON is {}, which is not a Python with the module venv",
                python.display()
            ),
        };
    }
    for candidate in CANDIDATES.map(PathBuf::from) {
        if version_of(&candidate).is_some_and(|version| version >= (3, 11)) {
            return Ok(candidate);
        }
    }
    bail!(
        "no Python 3.11 or later with the module venv was found (looked for {}); \
         install one (on Debian and Ubuntu: apt install python3 python3-venv), or set STACK_PYTHON",
        CANDIDATES.join(", ")
    )
}

/// `None` if it is not a Python, or one that cannot create environments.
fn version_of(python: &Path) -> Option<(u32, u32)> {
    let answer = python_command(python)
        .args(["-c", QUESTION])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8(answer.stdout).ok()?;
    let (major, minor) = text.trim().split_once(' ')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_a_usable_python() {
        assert!(version_of(&find(None).unwrap()).unwrap() >= (3, 11));
    }

    #[test]
    fn a_chosen_program_that_is_no_python_is_refused() {
        let error = find(Some(Path::new("/bin/true"))).unwrap_err().to_string();
        assert!(error.contains("STACK_PYTHON"), "{error}");
    }
}
