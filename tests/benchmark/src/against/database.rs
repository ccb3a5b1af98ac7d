//! A database with the schemas of a commit.

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection, PgPool,
    postgres::PgConnectOptions,
};
use uuid::Uuid;

use crate::bare_sql;

/// A database on the stack's server. Both commits log in as its owner: what the roles of the services
/// may do is another matter in each commit.
#[derive(Debug)]
pub(crate) struct Database {
    /// Where it is, for a function.
    pub(crate) url: String,
    /// For the bare SQL, and for questions about the server.
    pub(crate) pool: PgPool,
    name: String,
    server: PgConnectOptions,
}

impl Database {
    /// Creates a database with the migrations in these sources.
    ///
    /// # Errors
    /// If a migration fails.
    pub(crate) async fn create(label: &str, source: &Path) -> Result<Self> {
        let url = std::env::var("DATABASE_URL").context("DATABASE_URL is not set")?;
        let server: PgConnectOptions = url.parse()?;
        let name = format!("bench_{label}_{}", Uuid::now_v7().simple());
        let mut connection = server.connect().await?;
        let create = AssertSqlSafe(format!("CREATE DATABASE {name}"));
        sqlx::raw_sql(create).execute(&mut connection).await?;
        let url = with_database(&url, &name);
        let options: PgConnectOptions = url.parse()?;
        let mut own = options.connect().await?;
        for file in migrations(source)? {
            apply(&file, &mut own)
                .await
                .with_context(|| format!("{} fails", file.display()))?;
        }
        own.close().await?;
        let options = options.application_name(bare_sql::APPLICATION);
        Ok(Self {
            url,
            pool: sqlx::postgres::PgPoolOptions::new()
                .connect_with(options)
                .await?,
            name,
            server,
        })
    }

    /// Lets in connections without TLS, which the stack's server does not by itself. It is a server for
    /// measuring, which ends with its stack.
    ///
    /// # Errors
    /// If the server fails, or runs elsewhere.
    pub(super) async fn admit_without_tls(&self) -> Result<()> {
        let rules: String = sqlx::query_scalar("SHOW hba_file")
            .fetch_one(&self.pool)
            .await?;
        let mut rules = OpenOptions::new()
            .append(true)
            .open(&rules)
            .with_context(|| format!("cannot change {rules}"))?;
        writeln!(rules, "hostnossl all all 127.0.0.1/32 scram-sha-256")?;
        sqlx::query("SELECT pg_reload_conf()")
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Drops it.
    ///
    /// # Errors
    /// If the server fails.
    pub(crate) async fn delete(self) -> Result<()> {
        let mut connection = self.server.connect().await?;
        let drop = AssertSqlSafe(format!("DROP DATABASE {} WITH (FORCE)", self.name));
        sqlx::raw_sql(drop).execute(&mut connection).await?;
        Ok(())
    }
}

async fn apply(file: &Path, connection: &mut PgConnection) -> Result<()> {
    let sql = fs::read_to_string(file)?;
    let mut transaction = connection.begin().await?;
    sqlx::raw_sql(AssertSqlSafe(sql))
        .execute(&mut *transaction)
        .await?;
    Ok(transaction.commit().await?)
}

/// The migrations of all services, one service after the other, each in its order.
fn migrations(source: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for service in fs::read_dir(source.join("functions"))? {
        let folder = service?.path().join("migrations");
        if !folder.exists() {
            continue;
        }
        for file in fs::read_dir(folder)? {
            files.push(file?.path());
        }
    }
    // They are numbered with leading zeros.
    files.sort();
    Ok(files)
}

/// The URL of another database on the same server.
fn with_database(url: &str, name: &str) -> String {
    let (address, query) = url.split_once('?').unwrap_or((url, ""));
    let server = match address.split_once("://") {
        Some((scheme, rest)) => {
            let host = rest.split('/').next().unwrap_or_default();
            format!("{scheme}://{host}")
        }
        None => address.to_owned(),
    };
    let separator = if query.is_empty() { "" } else { "?" };
    format!("{server}/{name}{separator}{query}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repository::repository;

    #[test]
    fn only_the_database_in_the_url_changes() {
        for (url, expected) in [
            (
                "postgres://u:p@h:1/a?sslmode=require",
                "postgres://u:p@h:1/b?sslmode=require",
            ),
            ("postgres://u@h/a", "postgres://u@h/b"),
            ("postgres://u@h", "postgres://u@h/b"),
            (
                "postgres://h/a?sslrootcert=/x/y.pem",
                "postgres://h/b?sslrootcert=/x/y.pem",
            ),
        ] {
            assert_eq!(with_database(url, "b"), expected);
        }
    }

    #[test]
    fn the_migrations_of_a_service_are_in_order() {
        let files = migrations(repository()).unwrap();
        let audit = files.iter().filter(|file| {
            file.parent()
                .is_some_and(|folder| folder.ends_with("audit/migrations"))
        });
        let names: Vec<_> = audit
            .filter_map(|file| file.file_name()?.to_str())
            .collect();
        assert!(names[0].starts_with("0001"), "{names:?}");
        assert!(names.is_sorted(), "{names:?}");
    }
}
