//! A base backup, the archived journal, and recovery to a moment: with nothing but the server itself,
//! because its other programs are not installed.

use std::{
    fs, io,
    os::unix::fs::{MetadataExt as _, chown},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result};
use chrono::{DateTime, Utc};
use sqlx::{AssertSqlSafe, PgPool};
use system_tests::{Process, Restart, Stack, within};

/// How long the server may take to archive what it has written, and to recover.
const PATIENCE: Duration = Duration::from_mins(5);

/// What the restored server has not got from the backup: the journal, which comes from the archive,
/// and what the server makes anew when it starts. The folders themselves have to be there.
const MADE_ANEW: [&str; 7] = [
    "pg_wal",
    "pg_replslot",
    "pg_dynshmem",
    "pg_notify",
    "pg_serial",
    "pg_snapshots",
    "pg_subtrans",
];

/// What belongs to the process that ran when the backup was taken.
const OF_THE_PROCESS: [&str; 2] = ["postmaster.pid", "postmaster.opts"];

/// A base backup, and the journal since.
pub(crate) struct Backup {
    /// Where the server has its data.
    data: PathBuf,
    /// What this program has: the copy, the archive and, in the end, the old data.
    folder: PathBuf,
    bytes: u64,
}

impl Backup {
    /// Has the journal archived, and copies the server's data while it runs.
    pub(crate) async fn take(database: &PgPool, stack: &Stack) -> Result<Self> {
        let mut backup = Self {
            data: stack.directory().join("postgres"),
            folder: stack.directory().join("restore-drill"),
            bytes: 0,
        };
        let (data, archive) = (&backup.data, backup.archive());
        fs::create_dir_all(&archive)?;
        for folder in [&backup.folder, &archive] {
            give(folder, data)?;
        }
        set(database, "archive_mode", "on").await?;
        set(database, "archive_command", &archive_command(&archive)).await?;
        restart().await?;

        // Both in the same session, or the backup ends with it.
        let mut session = within(PATIENCE, "the database", async || {
            database.acquire().await.ok()
        })
        .await;
        sqlx::query("SELECT pg_backup_start('restore-drill', fast => true)")
            .execute(&mut *session)
            .await?;
        let (from, to) = (backup.data.clone(), backup.copy());
        backup.bytes = tokio::task::spawn_blocking(move || copy_data(&from, &to)).await??;
        let label: String = sqlx::query_scalar("SELECT labelfile FROM pg_backup_stop()")
            .fetch_one(&mut *session)
            .await?;
        backup.put("backup_label", &label)?;
        Ok(backup)
    }

    /// The size of the copy.
    pub(crate) const fn megabytes(&self) -> u64 {
        self.bytes.div_ceil(1_000_000)
    }

    /// Waits until the archive has everything that was committed.
    pub(crate) async fn complete(&self, database: &PgPool) -> Result<()> {
        let last: String = sqlx::query_scalar("SELECT pg_walfile_name(pg_switch_wal())")
            .fetch_one(database)
            .await?;
        let last = self.archive().join(last);
        within(PATIENCE, "the journal in the archive", async || {
            last.exists().then_some(())
        })
        .await;
        Ok(())
    }

    /// Ends the server, and starts it with the copy, which recovers to this moment.
    pub(crate) async fn restore(&self, stack: &Stack, moment: DateTime<Utc>) -> Result<()> {
        let settings = self.copy().join("postgresql.auto.conf");
        let settings = fs::read_to_string(settings)? + &recovery(&self.archive(), moment);
        self.put("postgresql.auto.conf", &settings)?;
        self.put("recovery.signal", "")?;
        // As it is now: the drill has restarted it.
        let stack = Stack::from_env()
            .ok()
            .filter(|now| now.directory() == stack.directory())
            .context("the stack is not up")?;
        Process::of_service(&stack, "postgres").kill().await;
        fs::rename(&self.data, self.folder.join("lost"))?;
        fs::rename(self.copy(), &self.data)?;
        restart().await
    }

    fn copy(&self) -> PathBuf {
        self.folder.join("copy")
    }

    fn archive(&self) -> PathBuf {
        self.folder.join("archive")
    }

    /// A file of the copy.
    fn put(&self, name: &str, content: &str) -> Result<()> {
        let path = self.copy().join(name);
        fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))?;
        give(&path, &self.data)
    }
}

/// The time of the database.
pub(crate) async fn now(database: &PgPool) -> Result<DateTime<Utc>> {
    let now = sqlx::query_scalar("SELECT clock_timestamp()");
    Ok(now.fetch_one(database).await?)
}

/// Waits until the server has recovered, and takes changes.
pub(crate) async fn recovered(database: &PgPool) -> Result<()> {
    within(PATIENCE, "the end of the recovery", async || {
        let recovering = sqlx::query_scalar("SELECT pg_is_in_recovery()");
        let recovering: Option<bool> = recovering.fetch_one(database).await.ok();
        (recovering == Some(false)).then_some(())
    })
    .await;
    Ok(())
}

async fn restart() -> Result<()> {
    tokio::task::spawn_blocking(|| Restart::afterwards("postgres").now())
        .await
        .context("the database does not restart")
}

async fn set(database: &PgPool, name: &str, value: &str) -> Result<()> {
    let set = AssertSqlSafe(format!("ALTER SYSTEM SET {name} = {}", quoted(value)));
    sqlx::raw_sql(set).execute(database).await?;
    Ok(())
}

/// Under its name only once it is whole, and never over another one.
fn archive_command(archive: &Path) -> String {
    let place = in_a_command(archive);
    format!("test ! -f {place}/%f && cp %p {place}/%f.part && mv {place}/%f.part {place}/%f")
}

/// The settings of a server that recovers to this moment, and then takes changes.
fn recovery(archive: &Path, moment: DateTime<Utc>) -> String {
    let command = format!("cp {}/%f %p", in_a_command(archive));
    let moment = moment.format("%Y-%m-%d %H:%M:%S%.6f+00").to_string();
    format!(
        "restore_command = {}\nrecovery_target_time = {}\nrecovery_target_action = promote\n",
        quoted(&command),
        quoted(&moment)
    )
}

/// A path as a word of a shell's command in which `%` means something to the server.
fn in_a_command(path: &Path) -> String {
    let path = path.display().to_string().replace('%', "%%");
    format!("'{}'", path.replace('\'', r"'\''"))
}

/// A text as SQL and the server's settings quote it.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Copies the data of a running server, whose files come and go. Returns how many bytes there are.
fn copy_data(from: &Path, to: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    copy_folder(from, to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let name = entry.file_name();
        let target = to.join(&name);
        if OF_THE_PROCESS.iter().any(|other| name == *other) {
            continue;
        }
        if !entry.file_type()?.is_dir() {
            bytes += copy_file(&entry.path(), &target)?;
        } else if MADE_ANEW.iter().any(|other| name == *other) {
            copy_folder(&entry.path(), &target)?;
        } else {
            bytes += copy_data(&entry.path(), &target)?;
        }
    }
    Ok(bytes)
}

/// The folder alone, with its owner and permissions.
fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    let like = fs::metadata(from)?;
    fs::create_dir(to)?;
    fs::set_permissions(to, like.permissions())?;
    chown(to, Some(like.uid()), Some(like.gid()))
}

fn copy_file(from: &Path, to: &Path) -> io::Result<u64> {
    let copied = fs::copy(from, to).and_then(|bytes| {
        let like = fs::metadata(from)?;
        chown(to, Some(like.uid()), Some(like.gid()))?;
        Ok(bytes)
    });
    match copied {
        // What is gone in the meantime is of no use, or is in the journal.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        copied => copied,
    }
}

/// Gives a file or folder to the owner of another one: the server may run as somebody else.
fn give(path: &Path, like: &Path) -> Result<()> {
    let like = fs::metadata(like)?;
    chown(path, Some(like.uid()), Some(like.gid()))
        .with_context(|| format!("cannot give {} to the server", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_folder_can_be_the_archive() {
        let archive = Path::new("/it's 100%");
        assert_eq!(in_a_command(archive), r"'/it'\''s 100%%'");
        let moment = "2026-11-30T23:59:59.000042Z".parse().unwrap();
        assert_eq!(
            recovery(archive, moment),
            "restore_command = 'cp ''/it''\\''''s 100%%''/%f %p'\n\
             recovery_target_time = '2026-11-30 23:59:59.000042+00'\n\
             recovery_target_action = promote\n"
        );
        assert_eq!(
            archive_command(Path::new("/a")),
            "test ! -f '/a'/%f && cp %p '/a'/%f.part && mv '/a'/%f.part '/a'/%f"
        );
    }

    #[test]
    fn a_copy_has_the_data_and_neither_journal_nor_process() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("data"), folder.path().join("copy"));
        for name in ["base/5", "pg_wal/archive_status", "pg_notify"] {
            fs::create_dir_all(from.join(name)).unwrap();
        }
        for name in [
            "base/5/1259",
            "pg_wal/000000010000000000000001",
            "postmaster.pid",
        ] {
            fs::write(from.join(name), "eight by").unwrap();
        }
        assert_eq!(copy_data(&from, &to).unwrap(), 8);
        assert!(to.join("base/5/1259").exists());
        assert!(to.join("pg_notify").exists());
        assert_eq!(fs::read_dir(to.join("pg_wal")).unwrap().count(), 0);
        assert!(!to.join("postmaster.pid").exists());
    }
}
