//! Part of `send-account-messages`: tells the administrators that somebody opened a restricted
//! record in an emergency.
//!
//! The message identifies the patient only by id and leaves the reason to the audit trail: a
//! mailbox is no place for patient data.

use std::time::Instant;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use mail::{MailError, Mailer};
use sqlx::PgPool;
use store::Transaction;
use uuid::Uuid;

use super::due_messages::{Outcome, Report, SendError, Waiting, send_due};

/// How long a rejected notice is retried. The audit trail keeps the access for ever.
const MATTERS_FOR: TimeDelta = TimeDelta::days(7);

const SUBJECT: &str = "Emergency access to a patient's record";

/// A notice to one administrator: who opened which record.
struct Notice {
    id: Uuid,
    email: String,
    /// The actor's e-mail address; `None` if the account no longer exists.
    actor: Option<String>,
    actor_id: Uuid,
    patient_id: Uuid,
    request_id: String,
    occurred_at: DateTime<Utc>,
}

/// Sends due notices, and starts none after `until`. Several runs may do so at the same time.
///
/// # Errors
/// If a statement fails. Notices sent before that are not sent again.
pub async fn tell_administrators(
    database: &PgPool,
    mailer: &Mailer,
    until: Instant,
) -> Result<Report, SendError> {
    send_due(
        database,
        Waiting::AdministratorNotices,
        until,
        async |transaction| {
            let Some(notice) = next(transaction).await? else {
                return Ok(None);
            };
            let sent = mailer.send(&notice.email, SUBJECT, &notice.text()).await;
            let outcome = match sent {
                Ok(_) => Outcome::Sent,
                Err(reason @ MailError::Refused(_)) => {
                    let matters = Utc::now() < notice.occurred_at + MATTERS_FOR;
                    tracing::error!(%reason, matters, "an administrator cannot be told of an emergency access");
                    Outcome::Refused { matters }
                }
                Err(reason @ MailError::Unavailable(_)) => {
                    tracing::warn!(%reason, "an administrator could not be told of an emergency access yet");
                    Outcome::Failed
                }
            };
            Ok(Some((notice.id, outcome)))
        },
    )
    .await
}

impl Notice {
    fn text(&self) -> String {
        let actor_id = self.actor_id.to_string();
        include_str!("../../templates/emergency-access.txt")
            .replace("{actor}", self.actor.as_deref().unwrap_or(&actor_id))
            .replace(
                "{time}",
                &self.occurred_at.to_rfc3339_opts(SecondsFormat::Secs, true),
            )
            .replace("{patient}", &self.patient_id.to_string())
            .replace("{request}", &self.request_id)
    }
}

/// The notice that has been due the longest, locked until the transaction ends.
async fn next(transaction: &mut Transaction) -> Result<Option<Notice>, sqlx::Error> {
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
