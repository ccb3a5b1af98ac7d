//! The other commit: its sources, and its programs.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail, ensure};

use super::{Request, folder};
use crate::{
    Options,
    build::{self, cargo_lambda},
    repository::repository,
    say,
};

/// A commit of this repository. Its sources and what is compiled of them are kept, so that it is
/// compiled once.
#[derive(Debug, Clone)]
pub(crate) struct Commit {
    id: String,
    folder: PathBuf,
}

impl Commit {
    /// The commit that git knows by this name.
    ///
    /// # Errors
    /// If there is none.
    pub(crate) fn find(revision: &str) -> Result<Self> {
        let commit = format!("{revision}^{{commit}}");
        let id = git(&[
            "rev-parse",
            "--verify",
            "--quiet",
            "--end-of-options",
            &commit,
        ])
        .with_context(|| format!("git knows no commit {revision}"))?;
        let id = id.trim().to_owned();
        let folder = folder().join(&id);
        Ok(Self { id, folder })
    }

    /// The beginning of its id, for people.
    pub(crate) fn short(&self) -> &str {
        self.id.get(..9).unwrap_or(&self.id)
    }

    /// Its sources.
    pub(crate) fn source(&self) -> PathBuf {
        self.folder.join("source")
    }

    /// The program of one of its functions, once it has been built.
    pub(super) fn program(&self, request: Request, options: &Options) -> PathBuf {
        let programs = self.programs(options);
        programs.join(request.function()).join("bootstrap")
    }

    fn programs(&self, options: &Options) -> PathBuf {
        self.folder.join(&options.profile)
    }

    /// Builds these functions, in a folder of its own.
    ///
    /// # Errors
    /// If it is too old, or something does not compile.
    pub(crate) fn build(&self, requests: &[Request], options: &Options) -> Result<()> {
        self.must_be_known(requests)?;
        self.extract()?;
        let is_complete = requests
            .iter()
            .all(|request| self.program(*request, options).exists());
        if is_complete {
            return say(&format!("{} has been built before", self.short()));
        }
        say(&format!(
            "building {} with the profile {}, in a folder of its own: all it uses is compiled anew, \
             which takes many minutes",
            self.short(),
            options.profile
        ))?;
        let mut build = cargo_lambda(options, &self.programs(options))?;
        build
            .current_dir(self.source())
            .env("CARGO_TARGET_DIR", self.folder.join("target"));
        for request in requests {
            build.args(["--bin", request.function()]);
        }
        build::run(build).with_context(|| format!("{} cannot be built", self.short()))
    }

    /// Refuses what would fail after many minutes.
    fn must_be_known(&self, requests: &[Request]) -> Result<()> {
        let files = git(&["ls-tree", "-r", "--name-only", &self.id])?;
        let files: Vec<&str> = files.lines().collect();
        match lacking(&files, requests) {
            None => Ok(()),
            Some(what) => bail!(
                "{} cannot be compared: it has {what}. Commits since ddddb18 have all that is needed",
                self.short()
            ),
        }
    }

    /// Makes its sources available.
    ///
    /// # Errors
    /// If git or tar fails.
    pub(crate) fn extract(&self) -> Result<()> {
        let source = self.source();
        if source.exists() {
            return Ok(());
        }
        // Renamed when it is complete.
        let partial = self.folder.join("partial");
        if partial.exists() {
            fs::remove_dir_all(&partial)?;
        }
        fs::create_dir_all(&partial)?;
        let mut archive = Command::new("git")
            .current_dir(repository())
            .args(["archive", &self.id])
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot run git")?;
        let content = archive.stdout.take().context("git has no output")?;
        let unpacked = Command::new("tar")
            .current_dir(&partial)
            .arg("-x")
            .stdin(content)
            .status()
            .context("cannot run tar")?;
        let archived = archive.wait()?;
        ensure!(
            archived.success() && unpacked.success(),
            "the sources of {} cannot be extracted",
            self.short()
        );
        fs::rename(partial, source)?;
        Ok(())
    }
}

fn git(arguments: &[&str]) -> Result<String> {
    let output = Command::new("git")
        .current_dir(repository())
        .args(arguments)
        .output()
        .context("cannot run git")?;
    ensure!(
        output.status.success(),
        "git {}: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8(output.stdout)?)
}

/// What a commit with these files does not have, of what a comparison needs.
fn lacking(files: &[&str], requests: &[Request]) -> Option<String> {
    let has = |wanted: &dyn Fn(&Path) -> bool| files.iter().any(|file| wanted(Path::new(file)));
    if !has(&|file| file.starts_with("functions/patients/migrations")) {
        return Some("no functions/patients/migrations".to_owned());
    }
    for request in requests {
        let function = request.function();
        let program = format!("bin/{function}.rs");
        if !has(&|file| file.ends_with(&program)) {
            return Some(format!("no function {function}"));
        }
        if !has(&|file| file == Path::new("events").join(function).with_extension("json")) {
            return Some(format!("no sample event for {function}"));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILES: [&str; 3] = [
        "functions/patients/migrations/0001_patients.sql",
        "functions/patients/src/bin/get-patient.rs",
        "events/get-patient.json",
    ];

    #[test]
    fn a_commit_is_refused_before_it_is_built() {
        let lacks =
            |files: &[&'static str], request| lacking(files, &[request]).unwrap_or_default();
        assert_eq!(lacks(&FILES, Request::Get), "");
        assert_eq!(lacks(&FILES, Request::List), "no function list-patients");
        assert_eq!(
            lacks(&FILES[..2], Request::Get),
            "no sample event for get-patient"
        );
        assert_eq!(
            lacks(&FILES[1..], Request::Get),
            "no functions/patients/migrations"
        );
    }

    #[test]
    fn what_git_does_not_know_is_no_commit() {
        assert!(Commit::find("no-such-revision").is_err());
        assert!(Commit::find("--help").is_err());
    }
}
