//! Builds everything that is measured, in the form deployed to AWS.

use std::{
    env::consts,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context as _, Result, bail, ensure};

use crate::{
    Options,
    against::{Request, Rival},
    chosen,
    repository::repository,
    say,
};

/// The binary whose start the functions' starts are compared with.
pub(crate) const BARE_FUNCTION: &str = "bare-function";
/// This program.
const BENCHMARK: &str = "benchmark";

/// The folder for everything that a benchmark writes.
pub(crate) fn folder() -> PathBuf {
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from);
    repository().join(target).join("bench")
}

/// The path of the binary with this name, once it has been built.
pub(crate) fn program(options: &Options, binary: &str) -> PathBuf {
    programs(options).join(binary).join("bootstrap")
}

fn programs(options: &Options) -> PathBuf {
    folder().join(&options.profile)
}

/// Builds all functions of the template, the bare function and this program in one run, and
/// executes the version of this program that was built.
///
/// # Errors
/// If something does not compile.
pub(crate) fn build_and_measure(options: &Options) -> Result<ExitCode> {
    if !options.skip_build {
        say(&format!(
            "building with the profile {}; the first time takes many minutes",
            options.profile
        ))?;
        build(options)?;
    }
    if let Some(rival) = Rival::chosen(options)? {
        rival.build(&Request::chosen(&options.functions)?, options)?;
    }
    let program = program(options, BENCHMARK);
    let error = Command::new(&program)
        .args(std::env::args_os().skip(1))
        .arg("--measure")
        .exec();
    Err(error).with_context(|| format!("cannot run {}", program.display()))
}

fn build(options: &Options) -> Result<()> {
    let mut build = cargo_lambda(options, &programs(options))?;
    build.current_dir(repository());
    for binary in chosen::binaries(options)? {
        build.args(["--bin", &binary]);
    }
    build.args(["--bin", BARE_FUNCTION, "--bin", BENCHMARK]);
    run(build)
}

/// The command that builds functions, but for their names and where they are. It puts them into this
/// folder.
///
/// # Errors
/// If Lambda has no such machine.
pub(crate) fn cargo_lambda(options: &Options, programs: &Path) -> Result<Command> {
    let mut build = Command::new("cargo-lambda");
    build
        .args(["lambda", "build", "--profile", &options.profile])
        .arg("--lambda-dir")
        .arg(programs)
        // Queries are checked against the committed data, which is the same in every run.
        .env("SQLX_OFFLINE", "true")
        .env_remove("DATABASE_URL");
    match consts::ARCH {
        "x86_64" => build.arg("--x86-64"),
        "aarch64" => build.arg("--arm64"),
        other => bail!("there are no functions for {other}"),
    };
    if options.profile != "release" {
        // As in the local stack's build, whose compilation results are reused.
        build.args(["--compiler", "cargo"]);
    }
    Ok(build)
}

/// Runs such a command.
///
/// # Errors
/// If something does not compile.
pub(crate) fn run(mut build: Command) -> Result<()> {
    let status = build
        .status()
        .context("cannot run cargo-lambda; `local-stack exec` puts it on the path")?;
    ensure!(status.success(), "the build failed ({status})");
    Ok(())
}
