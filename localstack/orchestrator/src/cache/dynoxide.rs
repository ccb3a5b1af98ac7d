//! The DynamoDB server: its own prebuilt program where npm is at hand to fetch it, compiled
//! otherwise.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs};

use anyhow::{Context, Result};

use super::folder::{COMPLETE, Cache};
use crate::cancellation::Cancelled;
use crate::files;
use crate::progress::Step;
use crate::tool::Tool;

/// The crate whose program is compiled.
const CRATE: &str = "dynoxide-rs";
/// Its version; that of the program is in the lock of `localstack/dynoxide`.
const CRATE_VERSION: &str = "3.2.0";
const FEATURES: &str = "native-sqlite,http-server,cli";

const PREBUILT_VERSION: &str = "1.2.1";
/// The only machine that there is a prebuilt program for.
const PREBUILT_FOR: (&str, &str) = ("linux", "x86_64");
const PREBUILT_PROGRAM: &str = "node_modules/@dynoxide/linux-x64/dynoxide";

impl Cache<'_> {
    /// The server's program.
    ///
    /// # Errors
    /// If it can neither be fetched nor compiled.
    pub fn dynoxide(&self, step: &Step<'_>) -> Result<PathBuf> {
        if let Some(program) = self.installed_dynoxide() {
            return Ok(program);
        }
        if (env::consts::OS, env::consts::ARCH) != PREBUILT_FOR {
            return self.compile_dynoxide(step);
        }
        if npm_is_there() {
            match self.fetch_dynoxide(step) {
                Err(failure) if failure.is::<Cancelled>() => return Err(failure),
                Err(failure) => step.announce(&format!("{failure:#}; compiling it instead")),
                done => return done,
            }
        } else {
            step.announce("with npm on the path it would be fetched instead of compiled");
        }
        self.compile_dynoxide(step)
    }

    /// The server's program, if it is there.
    #[must_use]
    pub fn installed_dynoxide(&self) -> Option<PathBuf> {
        let (fetched, compiled) = (self.fetched(), self.compiled());
        [
            fetched.join(PREBUILT_PROGRAM),
            compiled.join("bin/dynoxide"),
        ]
        .into_iter()
        .zip([fetched, compiled])
        .find(|(program, folder)| folder.join(COMPLETE).exists() && program.exists())
        .map(|(program, _)| program)
    }

    fn fetched(&self) -> PathBuf {
        let label = format!("dynoxide-prebuilt-{PREBUILT_VERSION}");
        self.settings.cache.join(label)
    }

    fn compiled(&self) -> PathBuf {
        self.settings
            .cache
            .join(format!("dynoxide-{CRATE_VERSION}"))
    }

    fn fetch_dynoxide(&self, step: &Step<'_>) -> Result<PathBuf> {
        let folder = self.fetched();
        let program = folder.join(PREBUILT_PROGRAM);
        self.install(step, &folder, &program, |tool| {
            step.doing("fetching the program with npm");
            files::create_folder(&folder)?;
            for name in ["package.json", "package-lock.json"] {
                let source = self.recipes().join("dynoxide").join(name);
                fs::copy(&source, folder.join(name))
                    .with_context(|| format!("cannot read {}", source.display()))?;
            }
            tool.run(
                Command::new("npm")
                    .current_dir(&folder)
                    .args("ci --ignore-scripts --no-audit --no-fund".split(' ')),
            )?;
            runs(tool, &program)
        })?;
        Ok(program)
    }

    fn compile_dynoxide(&self, step: &Step<'_>) -> Result<PathBuf> {
        let folder = self.compiled();
        let program = folder.join("bin/dynoxide");
        self.install(step, &folder, &program, |tool| {
            step.announce("compiling it once, about 2 minutes on 2 cores");
            // Kept when interrupted, so that the next attempt goes on from there.
            let target = self
                .settings
                .cache
                .join(format!("dynoxide-{CRATE_VERSION}.build"));
            tool.run(
                // In the repository, because its Rust version is the one to use.
                Command::new("cargo")
                    .current_dir(&self.settings.repository)
                    .args(["install", CRATE, "--version", CRATE_VERSION, "--locked"])
                    .args(["--no-default-features", "--features", FEATURES])
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
}

fn npm_is_there() -> bool {
    let asked = Command::new("npm")
        .arg("--version")
        .stdin(Stdio::null())
        .output();
    asked.is_ok_and(|answer| answer.status.success())
}

/// A program for this kind of machine may still not run on this one.
fn runs(tool: &Tool<'_>, program: &Path) -> Result<()> {
    tool.run(Command::new(program).arg("--version"))
}
