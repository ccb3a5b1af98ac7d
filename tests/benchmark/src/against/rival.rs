//! Whom this commit is compared with.

use std::path::PathBuf;

use anyhow::{Context as _, Result};

use super::{Commit, Request, broker::Protection};
use crate::{Options, build, repository::repository};

/// Another commit, or this one on its own.
#[derive(Debug)]
pub(crate) enum Rival {
    /// Another commit.
    Commit(Commit),
    /// The same programs without TLS, and without a password for Kafka.
    Unprotected,
}

impl Rival {
    /// The rival that the options name, if they name one.
    ///
    /// # Errors
    /// If git does not know the commit.
    pub(crate) fn chosen(options: &Options) -> Result<Option<Self>> {
        Ok(match &options.against {
            Some(revision) => Some(Self::Commit(Commit::find(revision)?)),
            None if options.without_tls => Some(Self::Unprotected),
            None => None,
        })
    }

    /// Builds its functions, where they are not those of this commit.
    ///
    /// # Errors
    /// If something does not compile.
    pub(crate) fn build(&self, requests: &[Request], options: &Options) -> Result<()> {
        match self {
            Self::Commit(commit) => commit.build(requests, options),
            Self::Unprotected => Ok(()),
        }
    }

    /// Its sources.
    pub(super) fn source(&self) -> PathBuf {
        match self {
            Self::Commit(commit) => commit.source(),
            Self::Unprotected => repository().to_owned(),
        }
    }

    /// The program of one of its functions, once it has been built.
    pub(super) fn program(&self, request: Request, options: &Options) -> PathBuf {
        match self {
            Self::Commit(commit) => commit.program(request, options),
            Self::Unprotected => build::program(options, request.function()),
        }
    }

    /// How the brokers of both are protected, first the rival's. Commits before f3a8eb0 know neither TLS
    /// nor passwords, so that none of two commits has them.
    pub(super) const fn protections(&self) -> [Protection; 2] {
        match self {
            Self::Commit(_) => [Protection::None, Protection::None],
            Self::Unprotected => [Protection::None, Protection::TlsAndPassword],
        }
    }

    /// The URL of the database, as the rival uses it.
    ///
    /// # Errors
    /// If it is not a URL.
    pub(super) fn database_url(&self, url: &str) -> Result<String> {
        match self {
            Self::Commit(_) => Ok(url.to_owned()),
            Self::Unprotected => without_tls(url),
        }
    }

    /// What people call it, and what this commit is called beside it.
    pub(super) fn names(&self) -> [String; 2] {
        match self {
            Self::Commit(commit) => [format!("theirs ({})", commit.short()), "ours".to_owned()],
            Self::Unprotected => ["without TLS".to_owned(), "with TLS".to_owned()],
        }
    }

    /// The beginning of the name of the file with the figures.
    pub(super) fn stem(&self) -> String {
        match self {
            Self::Commit(commit) => commit.short().to_owned(),
            Self::Unprotected => "without-tls".to_owned(),
        }
    }
}

fn without_tls(url: &str) -> Result<String> {
    let (address, query) = url.split_once('?').unwrap_or((url, ""));
    address
        .starts_with("postgres")
        .then_some(())
        .context("DATABASE_URL is not the URL of a PostgreSQL database")?;
    let others = query
        .split('&')
        .filter(|setting| !setting.is_empty() && !setting.starts_with("ssl"));
    let settings: Vec<&str> = others.chain(["sslmode=disable"]).collect();
    Ok(format!("{address}?{}", settings.join("&")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_settings_of_tls_are_changed() {
        for (url, expected) in [
            ("postgres://h/a", "postgres://h/a?sslmode=disable"),
            (
                "postgres://u:p@h:1/a?sslmode=verify-full&sslrootcert=%2Fx.pem&application_name=b",
                "postgres://u:p@h:1/a?application_name=b&sslmode=disable",
            ),
        ] {
            assert_eq!(without_tls(url).unwrap(), expected);
        }
    }
}
