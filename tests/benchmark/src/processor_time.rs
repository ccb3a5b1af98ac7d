//! The processor time that others have used.

use std::{
    fs,
    ops::{AddAssign, Sub},
    path::PathBuf,
    time::Duration,
};

use anyhow::{Context as _, Result};
use sqlx::PgPool;

use crate::environment::Environment;

/// Processor time of the functions, or of another client, and of the database.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ProcessorTime {
    pub(crate) client: Duration,
    pub(crate) database: Duration,
}

impl ProcessorTime {
    pub(crate) fn total(self) -> Duration {
        self.client + self.database
    }
}

impl Sub for ProcessorTime {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self {
            client: self.client.saturating_sub(earlier.client),
            database: self.database.saturating_sub(earlier.database),
        }
    }
}

impl AddAssign for ProcessorTime {
    fn add_assign(&mut self, more: Self) {
        self.client += more.client;
        self.database += more.database;
    }
}

/// What these environments have used so far, and the server processes behind their connections.
///
/// # Errors
/// If the system does not report it.
pub(crate) async fn of_functions(
    environments: &[Environment],
    application: &str,
    database: &PgPool,
) -> Result<ProcessorTime> {
    let mut used = ProcessorTime::default();
    for environment in environments {
        used.client += of_process(environment.id())?;
    }
    let backends: Vec<i32> =
        sqlx::query_scalar("SELECT pid FROM pg_stat_activity WHERE application_name = $1")
            .bind(application)
            .fetch_all(database)
            .await?;
    for backend in backends {
        used.database += of_process(u32::try_from(backend)?)?;
    }
    Ok(used)
}

/// What the children of this process that have ended have used, and everything of the database
/// server: its processes and those that have ended.
///
/// # Errors
/// If the database runs on another machine, or the system does not report it.
pub(crate) async fn of_ended_children(database: &PgPool) -> Result<ProcessorTime> {
    let backend: i32 = sqlx::query_scalar("SELECT pg_backend_pid()")
        .fetch_one(database)
        .await?;
    let server = Stat::of(u32::try_from(backend)?)?.parent;
    let mut used = of_process(server)? + Stat::of(server)?.of_ended_children;
    for entry in fs::read_dir("/proc")? {
        let process = entry?.file_name().to_string_lossy().parse();
        // It may have ended meanwhile.
        let Ok((process, stat)) = process.map(|process| (process, Stat::of(process))) else {
            continue;
        };
        if stat.is_ok_and(|stat| stat.parent == server) {
            used += of_process(process).unwrap_or_default();
        }
    }
    Ok(ProcessorTime {
        client: Stat::of(std::process::id())?.of_ended_children,
        database: used,
    })
}

/// What all threads of a process have used, to the nanosecond (`schedstat` in proc(5)).
///
/// # Errors
/// If there is no such process, or the system does not report it.
pub(crate) fn of_process(process: u32) -> Result<Duration> {
    let mut used = Duration::ZERO;
    for task in fs::read_dir(PathBuf::from(format!("/proc/{process}/task")))? {
        // It may have ended meanwhile, and counts for nothing then.
        let Ok(schedstat) = fs::read_to_string(task?.path().join("schedstat")) else {
            continue;
        };
        let nanoseconds = schedstat.split(' ').next().unwrap_or_default();
        used += Duration::from_nanos(nanoseconds.parse()?);
    }
    Ok(used)
}

/// What is needed of `/proc/[pid]/stat`.
struct Stat {
    parent: u32,
    of_ended_children: Duration,
}

impl Stat {
    fn of(process: u32) -> Result<Self> {
        let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
        Self::parse(&stat).context("/proc does not describe the process")
    }

    /// Fields count from the third: the second, the name, may contain anything.
    fn parse(stat: &str) -> Option<Self> {
        /// `sysconf(_SC_CLK_TCK)` on every architecture that Linux has today.
        const TICKS_PER_SECOND: u64 = 100;
        let (_, fields) = stat.rsplit_once(") ")?;
        let fields: Vec<&str> = fields.split(' ').collect();
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        let ticks = field(16)? + field(17)?;
        Some(Self {
            parent: field(4)?.try_into().ok()?,
            of_ended_children: Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_process_does_not_shift_the_fields() {
        let stat = "42 (postgres: a) b) S 7 42 42 0 -1 4194624 1 2 3 4 5 6 30 12 20 0 1 0";
        let stat = Stat::parse(stat).unwrap();
        assert_eq!(stat.parent, 7);
        assert_eq!(stat.of_ended_children, Duration::from_millis(420));
    }

    #[test]
    fn what_is_used_is_seen() {
        let begin = std::time::Instant::now();
        let mut command = std::process::Command::new("sh");
        let mut busy = command.args(["-c", "while :; do :; done"]).spawn().unwrap();
        let mut used = Duration::ZERO;
        while used < Duration::from_millis(5) && begin.elapsed() < Duration::from_secs(30) {
            used = of_process(busy.id()).unwrap();
        }
        busy.kill().unwrap();
        busy.wait().unwrap();
        assert!(used >= Duration::from_millis(5), "{used:?}");
        assert!(
            used <= begin.elapsed(),
            "one thread cannot use more: {used:?}"
        );
    }
}
