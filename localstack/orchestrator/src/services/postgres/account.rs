//! PostgreSQL refuses to run as root. Where this program does, in a container for
//! instance, the server runs as `nobody`.

use std::ffi::OsString;
use std::os::unix::fs::chown;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

/// The number of `nobody`, and of its group, on every current Linux system.
const NOBODY: u32 = 65_534;

/// Who PostgreSQL runs as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Account {
    /// Whoever runs this program.
    Current,
    /// Root, who is called `nobody` in a user namespace: the server sees that it is not
    /// root, and still may enter root's folders, where it is installed.
    Renamed,
    /// `nobody`, where namespaces are not allowed.
    Nobody,
}

impl Account {
    /// # Errors
    /// If this is root on a machine that does not let it become somebody else.
    pub(super) fn choose() -> Result<Self> {
        if !rustix::process::geteuid().is_root() {
            return Ok(Self::Current);
        }
        for account in [Self::Renamed, Self::Nobody] {
            let (program, arguments) = account.run(Path::new("true"));
            let attempt = Command::new(program)
                .args(arguments)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status();
            if attempt.is_ok_and(|status| status.success()) {
                return Ok(account);
            }
        }
        bail!(
            "PostgreSQL does not run as root, and this machine allows neither `unshare --user` nor \
             `setpriv`: run this as another user, or set DATABASE_URL to a server of your own"
        )
    }

    /// The program, and the first arguments, that run `program` as this account.
    pub(super) fn run(self, program: &Path) -> (OsString, Vec<OsString>) {
        let through = |name: &str, options: &[String]| {
            let options = options.iter().map(OsString::from);
            (
                OsString::from(name),
                options.chain([program.into()]).collect(),
            )
        };
        match self {
            Self::Current => (program.into(), Vec::new()),
            Self::Renamed => through(
                "unshare",
                &[
                    "--user".to_owned(),
                    format!("--map-user={NOBODY}"),
                    format!("--map-group={NOBODY}"),
                    "--".to_owned(),
                ],
            ),
            Self::Nobody => through(
                "setpriv",
                &[
                    format!("--reuid={NOBODY}"),
                    format!("--regid={NOBODY}"),
                    "--clear-groups".to_owned(),
                    "--".to_owned(),
                ],
            ),
        }
    }

    /// Makes the account the owner of a folder.
    ///
    /// # Errors
    /// If the system refuses.
    pub(super) fn give(self, folder: &Path) -> Result<()> {
        if self == Self::Nobody {
            chown(folder, Some(NOBODY), Some(NOBODY))
                .with_context(|| format!("cannot give {} to nobody", folder.display()))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_never_sees_that_it_is_root() {
        let (program, arguments) = Account::choose().unwrap().run(Path::new("id"));
        let answer = Command::new(program)
            .args(arguments)
            .arg("-u")
            .output()
            .unwrap();
        assert!(answer.status.success());
        assert_ne!(String::from_utf8(answer.stdout).unwrap().trim(), "0");
    }

    #[test]
    fn another_user_runs_it_as_it_is() {
        let (program, arguments) = Account::Current.run(Path::new("/bin/postgres"));
        assert_eq!(program, "/bin/postgres");
        assert!(arguments.is_empty());
    }
}
