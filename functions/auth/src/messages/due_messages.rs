//! Tables of messages waiting to be sent.
//!
//! Each message is sent in its own transaction, which locks its row: several runs may send at the
//! same time, and a message that was sent is not sent again because a later one fails. A message
//! that could not be sent is retried later.

use std::time::Instant;

use serde::Serialize;
use sqlx::{AssertSqlSafe, PgPool};
use store::Transaction;
use uuid::Uuid;

/// A run gives up after this many failures in a row: the mail service is down.
const MAX_FAILURES: u32 = 3;

/// What a run did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Messages that the mail service accepted.
    pub sent: u32,
    /// Messages that were discarded: there is no such account, it is disabled, or the mail service
    /// rejected them for as long as they mattered.
    pub dropped: u32,
    /// Messages that will be retried later.
    pub failed: u32,
    /// Those of the failed and dropped messages that the mail service rejected.
    pub refused: u32,
    /// Whether the run stopped because its time was up, so that some may be left.
    pub unfinished: bool,
}

impl Report {
    /// The sum of both.
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

/// Why a run was aborted.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// A statement failed.
    #[error("the messages cannot be read: {0}")]
    Database(#[from] sqlx::Error),
    /// A token could not be generated.
    #[error("no token can be generated: {0}")]
    Token(String),
}

/// A table of messages. Its rows have an `id`, a number of `attempts` and a `next_attempt_at`.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Waiting {
    /// Messages with a token to set a password.
    AccountMessages,
    /// Notices to administrators.
    AdministratorNotices,
}

/// The outcome of sending a message.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Outcome {
    /// The mail service accepted it.
    Sent,
    /// It is discarded.
    Dropped,
    /// It will be retried later.
    Failed,
    /// The mail service rejects this message to this address. Whether that is permanent cannot be
    /// told, so it is retried later, as long as it matters to the recipient.
    Refused {
        /// Whether it still matters.
        matters: bool,
    },
}

/// Sends due messages with `send_next`, which locks and sends the message that has been due the
/// longest, or returns `None` if there is none. Starts no message after `until`.
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
            // The mail service works, so the run goes on.
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

/// How many messages have been waiting long enough to raise an alarm.
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

    /// Doubles the delay with each attempt, up to an hour.
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

/// Executes SQL that is assembled only from the names of our own tables, not from any input.
async fn execute(transaction: &mut Transaction, sql: String, id: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query(AssertSqlSafe(sql))
        .bind(id)
        .execute(transaction)
        .await?;
    Ok(())
}
