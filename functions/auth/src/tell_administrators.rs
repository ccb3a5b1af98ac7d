//! A part of `send-account-messages`: tells the administrators that somebody opened a
//! restricted record in an emergency.
//!
//! The message names the patient by their id alone, and leaves the reason to the audit
//! trail: a mailbox is no place for a patient's data.

use chrono::{DateTime, SecondsFormat, Utc};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::send_account_messages::{MAX_FAILURES, MAX_MESSAGES, Mail, Report, SendError, Unsent};

const SUBJECT: &str = "Emergency access to a patient's record";

/// Who opened which record is still to be told to this administrator.
struct Notice {
    id: Uuid,
    email: String,
    /// Who it was; nobody if the account is no more.
    actor: Option<String>,
    actor_id: Uuid,
    patient_id: Uuid,
    request_id: String,
    occurred_at: DateTime<Utc>,
}

/// Sends what is due. Several may do so at the same time.
///
/// # Errors
/// If the database does not answer. What was sent until then is not sent again.
pub async fn tell_administrators(database: &PgPool, mail: &Mail) -> Result<Report, SendError> {
    let mut report = Report::default();
    let mut failures_in_a_row = 0;
    for _ in 0..MAX_MESSAGES {
        let mut transaction = database.begin().await?;
        let Some(notice) = next(&mut transaction).await? else {
            break;
        };
        match mail
            .send(&notice.email, SUBJECT.to_owned(), notice.text())
            .await
        {
            Ok(()) => {
                report.sent += 1;
                failures_in_a_row = 0;
                remove(&mut transaction, notice.id).await?;
            }
            Err(Unsent::Never(reason)) => {
                tracing::error!(
                    reason,
                    "an administrator cannot be told of an emergency access"
                );
                report.dropped += 1;
                remove(&mut transaction, notice.id).await?;
            }
            Err(Unsent::Later(reason)) => {
                tracing::warn!(
                    reason,
                    "an administrator was not told of an emergency access yet"
                );
                report.failed += 1;
                failures_in_a_row += 1;
                put_off(&mut transaction, notice.id).await?;
            }
        }
        transaction.commit().await?;
        if failures_in_a_row == MAX_FAILURES {
            break;
        }
    }
    Ok(report)
}

impl Notice {
    fn text(&self) -> String {
        let actor_id = self.actor_id.to_string();
        include_str!("../templates/emergency-access.txt")
            .replace("{actor}", self.actor.as_deref().unwrap_or(&actor_id))
            .replace(
                "{time}",
                &self.occurred_at.to_rfc3339_opts(SecondsFormat::Secs, true),
            )
            .replace("{patient}", &self.patient_id.to_string())
            .replace("{request}", &self.request_id)
    }
}

/// The notice that has been due for longest, ours until the transaction ends.
async fn next(transaction: &mut PgConnection) -> Result<Option<Notice>, sqlx::Error> {
    sqlx::query_as!(
        Notice,
        r#"SELECT notice.id, notice.email, account.email AS "actor?", notice.actor_id,
                  notice.patient_id, notice.request_id, notice.occurred_at
           FROM auth.administrator_notice notice
           LEFT JOIN auth.user_account account ON account.id = notice.actor_id
           WHERE next_attempt_at <= now()
           ORDER BY next_attempt_at
           LIMIT 1
           FOR UPDATE OF notice SKIP LOCKED"#,
    )
    .fetch_optional(transaction)
    .await
}

async fn remove(transaction: &mut PgConnection, id: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query!("DELETE FROM auth.administrator_notice WHERE id = $1", id)
        .execute(transaction)
        .await?;
    Ok(())
}

/// Twice as long as the last time, an hour at most.
async fn put_off(transaction: &mut PgConnection, id: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE auth.administrator_notice
         SET attempts = attempts + 1,
             next_attempt_at = now() + least(interval '1 minute' * power(2, least(attempts, 10)), interval '1 hour')
         WHERE id = $1",
        id
    )
    .execute(transaction)
    .await?;
    Ok(())
}
