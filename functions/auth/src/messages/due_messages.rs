//! Messages that wait in a table until they are sent.
//!
//! Each is sent in a transaction of its own, which locks its row: several may send at the
//! same time, and what was sent is not sent again because a later one fails. One that was
//! not sent is due again later.

use std::time::Instant;

use serde::Serialize;
use sqlx::{AssertSqlSafe, PgPool};
use store::Transaction;
use uuid::Uuid;

/// After so many failures in a row a run is given up: the mail service is down.
const MAX_FAILURES: u32 = 3;

/// What a run did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Messages that the mail service took.
    pub sent: u32,
    /// Messages that nobody gets: there is no such account, it is disabled, or the mail
    /// service has refused them for as long as they mattered.
    pub dropped: u32,
    /// Messages that are due again later.
    pub failed: u32,
    /// Those of them, and of the dropped ones, that the mail service refused as they are.
    pub refused: u32,
    /// Whether some may be left only because the time was up.
    pub unfinished: bool,
}

impl Report {
    /// Both together.
    pub(crate) const fn and(self, other: Self) -> Self {
        Self {
            sent: self.sent + other.sent,
            dropped: self.dropped + other.dropped,
            failed: self.failed + other.failed,
            refused: self.refused + other.refused,
            unfinished: self.unfinished || other.unfinished,
        }
    }
}

/// Why a run ended before its end.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The database did not do its part.
    #[error("the messages cannot be read: {0}")]
    Database(#[from] sqlx::Error),
    /// A token cannot be made.
    #[error("no token can be made: {0}")]
    Token(String),
}

/// A table of messages. Its rows have an `id`, the number of `attempts` and the time of the
/// `next_attempt_at`.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Waiting {
    /// What lets somebody set a password.
    AccountMessages,
    /// What an administrator has to know.
    AdministratorNotices,
}

/// What became of a message.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Outcome {
    /// The mail service took it.
    Sent,
    /// Nobody gets it.
    Dropped,
    /// It is due again later.
    Failed,
    /// The mail service does not send it as it is, to this address. Whether that is for good
    /// cannot be told from here: it is due again later, while it matters to whom it is for.
    Refused {
        /// Whether it still does.
        matters: bool,
    },
}

/// Sends what is due, with a function that locks the message that has been due for longest
/// and sends it; it answers `None` when there is none. Begins none after `until`.
pub(crate) async fn send_due(
    database: &PgPool,
    waiting: Waiting,
    until: Instant,
    send_next: impl AsyncFn(&mut Transaction) -> Result<Option<(Uuid, Outcome)>, SendError>,
) -> Result<Report, SendError> {
    let mut report = Report::default();
    let mut failures_in_a_row = 0;
    loop {
        if Instant::now() >= until {
            report.unfinished = true;
            break;
        }
        let mut transaction = Transaction::begin(database).await?;
        let Some((id, outcome)) = send_next(&mut transaction).await? else {
            break;
        };
        match outcome {
            Outcome::Sent => {
                report.sent += 1;
                failures_in_a_row = 0;
                waiting.remove(&mut transaction, id).await?;
            }
            Outcome::Dropped => {
                report.dropped += 1;
                waiting.remove(&mut transaction, id).await?;
            }
            Outcome::Failed => {
                report.failed += 1;
                failures_in_a_row += 1;
                waiting.put_off(&mut transaction, id).await?;
            }
            // The mail service works: this is no reason to give the run up.
            Outcome::Refused { matters: true } => {
                report.refused += 1;
                report.failed += 1;
                failures_in_a_row = 0;
                waiting.put_off(&mut transaction, id).await?;
            }
            Outcome::Refused { matters: false } => {
                report.refused += 1;
                report.dropped += 1;
                failures_in_a_row = 0;
                waiting.remove(&mut transaction, id).await?;
            }
        }
        transaction.commit().await?;
        if failures_in_a_row == MAX_FAILURES {
            break;
        }
    }
    Ok(report)
}

/// How many messages have waited for so long that somebody should know.
pub(crate) async fn count_overdue(database: &PgPool) -> Result<u32, sqlx::Error> {
    let overdue = sqlx::query_scalar!(
        r#"SELECT (SELECT count(*) FROM auth.account_message
                   WHERE created_at < now() - interval '15 minutes')
                + (SELECT count(*) FROM auth.administrator_notice
                   WHERE occurred_at < now() - interval '15 minutes') AS "overdue!""#,
    )
    .fetch_one(database)
    .await?;
    Ok(u32::try_from(overdue).unwrap_or(u32::MAX))
}

impl Waiting {
    const fn table(self) -> &'static str {
        match self {
            Self::AccountMessages => "auth.account_message",
            Self::AdministratorNotices => "auth.administrator_notice",
        }
    }

    async fn remove(self, transaction: &mut Transaction, id: Uuid) -> Result<(), sqlx::Error> {
        let sql = format!("DELETE FROM {} WHERE id = $1", self.table());
        execute(transaction, sql, id).await
    }

    /// Twice as long as the last time, an hour at most.
    async fn put_off(self, transaction: &mut Transaction, id: Uuid) -> Result<(), sqlx::Error> {
        let sql = format!(
            "UPDATE {}
             SET attempts = attempts + 1,
                 next_attempt_at = now() + least(interval '1 minute' * power(2, least(attempts, 10)), interval '1 hour')
             WHERE id = $1",
            self.table()
        );
        execute(transaction, sql, id).await
    }
}

/// Executes what names one of our own tables and nothing that came from outside.
async fn execute(transaction: &mut Transaction, sql: String, id: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query(AssertSqlSafe(sql))
        .bind(id)
        .execute(transaction)
        .await?;
    Ok(())
}
