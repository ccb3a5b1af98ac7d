//! `send-account-messages`, every minute: sends the messages with which people set a password.
//!
//! A one-time token is generated right before its message is sent, and its hash is stored first.
//! The token itself exists only in this process's memory and in the message. A message that was not
//! sent is retried later with a new token. If a message was sent but the result was lost, it is
//! sent again, and both tokens are valid until one is used.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use lambda_runtime::{Diagnostic, LambdaEvent};
use mail::{MailError, Mailer};
use next_run::{NextRun, end_of_run};
use secrecy::{ExposeSecret as _, SecretString};
use serde::de::IgnoredAny;
use sqlx::{PgPool, postgres::types::PgInterval};
use store::{MissingSetting, Transaction, service_fn, setting};
use telemetry::{Metrics, Unit};
use uuid::Uuid;

pub use super::due_messages::{Report, SendError};
use super::{
    due_messages::{Outcome, Waiting, count_overdue, send_due},
    tell_administrators::tell_administrators,
};
use crate::passwords::set_password::OneTimeToken;

/// The lifetime of a token that somebody has just asked for.
const FORGOTTEN_PASSWORD_LIFETIME: Duration = Duration::from_mins(30);

/// The lifetime of a token that nobody is waiting for. After that, the user asks for one with
/// "forgotten password".
const INVITATION_LIFETIME: Duration = Duration::from_hours(24);

/// How long a rejected invitation is retried: long enough to find and fix the cause. The invited
/// user has no other way to learn of their account.
const INVITATION_MATTERS_FOR: Duration = Duration::from_hours(7 * 24);

/// The most messages without a recipient that one run removes.
const MAX_FOR_NOBODY: i64 = 10_000;

/// How long before its timeout the function stops starting messages: the last one may take the mail
/// service some seconds, and the outcome has to be written to the database.
const RESERVE: Duration = Duration::from_secs(15);

/// A user gets at most one message about a forgotten password in this time.
const PAUSE: Duration = Duration::from_mins(5);

/// The mailer, and the clinic in whose name the messages are sent.
#[derive(Debug)]
pub struct Mail {
    mailer: Mailer,
    clinic: String,
}

impl Mail {
    /// From `NOTIFICATIONS_SENDER` and `CLINIC_NAME`.
    ///
    /// # Errors
    /// If a setting is missing.
    pub fn from_env() -> Result<Self, MissingSetting> {
        Ok(Self::new(Mailer::from_env()?, setting("CLINIC_NAME")?))
    }

    /// With this mailer and the name of the clinic.
    #[must_use]
    pub const fn new(mailer: Mailer, clinic: String) -> Self {
        Self { mailer, clinic }
    }

    async fn send(&self, due: &Due, token: &SecretString) -> Result<(), MailError> {
        let text = include_str!("../../templates/set-password.txt")
            .replace("{clinic}", &self.clinic)
            .replace("{reason}", due.reason())
            .replace("{token}", token.expose_secret())
            .replace("{lifetime}", due.lifetime_in_words());
        let subject = due.subject().replace("{clinic}", &self.clinic);
        self.mailer.send(&due.email, &subject, &text).await?;
        Ok(())
    }
}

/// A message that is due.
struct Due {
    id: Uuid,
    email: String,
    is_invitation: bool,
    created_at: DateTime<Utc>,
    /// The user with this address, if there is one and their account is not disabled.
    user: Option<Uuid>,
    /// Whether the user was sent one a moment ago.
    was_just_sent: bool,
}

impl Due {
    const fn lifetime(&self) -> Duration {
        if self.is_invitation {
            INVITATION_LIFETIME
        } else {
            FORGOTTEN_PASSWORD_LIFETIME
        }
    }

    /// Whether it is still worth sending. Anybody still waiting for a new password after a token's
    /// lifetime asks again.
    fn matters(&self) -> bool {
        let for_long = if self.is_invitation {
            INVITATION_MATTERS_FOR
        } else {
            FORGOTTEN_PASSWORD_LIFETIME
        };
        Utc::now() < self.created_at + for_long
    }

    const fn lifetime_in_words(&self) -> &'static str {
        if self.is_invitation {
            "24 hours"
        } else {
            "30 minutes"
        }
    }

    const fn subject(&self) -> &'static str {
        if self.is_invitation {
            "Your account at {clinic}"
        } else {
            "Your new password at {clinic}"
        }
    }

    const fn reason(&self) -> &'static str {
        if self.is_invitation {
            "You have been given an account. Choose a password to use it."
        } else {
            "Somebody, probably you, has asked for a new password for your account. If it was \
             not you, there is nothing to do: your password is as it was."
        }
    }
}

/// Serves as the Lambda function until Lambda stops it.
///
/// # Errors
/// If the Lambda runtime API cannot be reached.
pub async fn serve(
    database: PgPool,
    mail: Mail,
    next: NextRun,
) -> Result<(), lambda_runtime::Error> {
    let (database, mail, next) = (&database, &mail, &next);
    lambda_runtime::run(service_fn(|event: LambdaEvent<IgnoredAny>| async move {
        let until = end_of_run(&event.context, RESERVE);
        match Box::pin(send_all(database, mail, until)).await {
            Ok((report, overdue)) => {
                if report.unfinished {
                    next.begin().await;
                }
                tracing::info!(?report, overdue, "sent account messages");
                Metrics::of_function("send-account-messages")
                    .metric("RefusedMessages", Unit::Count, f64::from(report.refused))
                    .metric("OverdueMessages", Unit::Count, f64::from(overdue))
                    .property("message", "account messages")
                    .emit();
                Ok(report)
            }
            Err(error) => {
                tracing::error!(cause = %error, "account messages were not sent");
                Err(Diagnostic {
                    error_type: "SendError".to_owned(),
                    error_message: error.to_string(),
                })
            }
        }
    }))
    .await
}

/// Sends notices about emergencies first. Also returns how many messages are overdue afterwards.
async fn send_all(
    database: &PgPool,
    mail: &Mail,
    until: Instant,
) -> Result<(Report, u32), SendError> {
    let notices = tell_administrators(database, &mail.mailer, until).await?;
    let messages = send_account_messages(database, mail, until).await?;
    Ok((notices.and(messages), count_overdue(database).await?))
}

/// Sends due messages, and starts none after `until`. Several runs may do so at the same time.
///
/// # Errors
/// If a statement fails. Messages sent before that are not sent again.
pub async fn send_account_messages(
    database: &PgPool,
    mail: &Mail,
    until: Instant,
) -> Result<Report, SendError> {
    // Expired tokens.
    sqlx::query!("DELETE FROM auth.one_time_token WHERE expires_at < now()")
        .execute(database)
        .await?;
    let for_nobody = remove_for_nobody(database).await?;
    let report = send_due(
        database,
        Waiting::AccountMessages,
        until,
        async |transaction| {
            let Some(due) = next(transaction).await? else {
                return Ok(None);
            };
            let outcome = match due.user {
                Some(user) if !due.was_just_sent => send(database, mail, &due, user).await?,
                _ => Outcome::Dropped,
            };
            Ok(Some((due.id, outcome)))
        },
    )
    .await?;
    Ok(report.and(Report {
        dropped: for_nobody,
        ..Report::default()
    }))
}

/// Removes requests for addresses that nobody can log in with, so that somebody who requests many
/// of them does not delay everybody else's messages. Returns how many there were.
async fn remove_for_nobody(database: &PgPool) -> Result<u32, sqlx::Error> {
    let removed = sqlx::query!(
        "DELETE FROM auth.account_message WHERE id IN (
             SELECT id FROM auth.account_message message
             WHERE kind = 'FORGOTTEN_PASSWORD' AND NOT EXISTS (
                 SELECT FROM auth.user_account account
                 WHERE account.email = message.email AND NOT account.disabled
             )
             LIMIT $1
             FOR UPDATE SKIP LOCKED
         )",
        MAX_FOR_NOBODY,
    )
    .execute(database)
    .await?;
    Ok(u32::try_from(removed.rows_affected()).unwrap_or(u32::MAX))
}

/// Sends a new token to the user that the message is for.
async fn send(database: &PgPool, mail: &Mail, due: &Due, user: Uuid) -> Result<Outcome, SendError> {
    let token = new_token(database, user, due.lifetime()).await?;
    Ok(match mail.send(due, &token.expose()).await {
        Ok(()) => {
            tracing::info!(userId = %user, "sent a one-time token");
            Outcome::Sent
        }
        Err(reason @ MailError::Refused(_)) => {
            // Nobody received the token. If it stayed, it would count as just sent.
            sqlx::query!(
                "DELETE FROM auth.one_time_token WHERE hash = $1",
                token.hash()
            )
            .execute(database)
            .await?;
            let matters = due.matters();
            tracing::error!(userId = %user, %reason, matters, "a one-time token cannot be sent to this address");
            Outcome::Refused { matters }
        }
        Err(reason @ MailError::Unavailable(_)) => {
            tracing::warn!(userId = %user, %reason, "a one-time token could not be sent yet");
            Outcome::Failed
        }
    })
}

/// The invitation that has been due the longest, or else the other message that has, locked until
/// the transaction ends.
async fn next(transaction: &mut Transaction) -> Result<Option<Due>, sqlx::Error> {
    sqlx::query_as!(
        Due,
        r#"SELECT message.id, message.email, message.kind = 'INVITATION' AS "is_invitation!",
                  message.created_at, account.id AS "user?",
                  EXISTS (
                      SELECT FROM auth.one_time_token token
                      WHERE message.kind = 'FORGOTTEN_PASSWORD' AND message.attempts = 0
                        AND token.user_id = account.id AND token.created_at > now() - $1::interval
                  ) AS "was_just_sent!"
           FROM auth.account_message message
           LEFT JOIN auth.user_account account
               ON account.email = message.email AND NOT account.disabled
           WHERE next_attempt_at <= now()
           ORDER BY message.kind = 'INVITATION' DESC, next_attempt_at
           LIMIT 1
           FOR UPDATE OF message SKIP LOCKED"#,
        interval(PAUSE),
    )
    .fetch_optional(transaction)
    .await
}

/// A token whose hash is committed before the token is sent to anybody.
async fn new_token(
    database: &PgPool,
    user: Uuid,
    lifetime: Duration,
) -> Result<OneTimeToken, SendError> {
    let token = OneTimeToken::generate([]).map_err(|error| SendError::Token(error.to_string()))?;
    sqlx::query!(
        "INSERT INTO auth.one_time_token (hash, user_id, expires_at)
         VALUES ($1, $2, now() + $3::interval)",
        token.hash(),
        user,
        interval(lifetime),
    )
    .execute(database)
    .await?;
    Ok(token)
}

fn interval(duration: Duration) -> PgInterval {
    PgInterval {
        microseconds: i64::try_from(duration.as_micros()).unwrap_or(i64::MAX),
        ..PgInterval::default()
    }
}
