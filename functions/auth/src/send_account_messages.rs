//! `send-account-messages`, every minute: sends the messages that let people set a
//! password.
//!
//! A one-time token is made right before its message is sent, and its hash stored before.
//! Between here and the mailbox it is nowhere but in this process's memory and in the
//! message. A message that was not sent is due again later, with a token of its own; one
//! that was sent, and of which we did not learn it, comes twice, and both tokens are good
//! until one is used.

use std::time::Duration;

use aws_sdk_ses::{
    error::ProvideErrorMetadata as _,
    operation::send_email::SendEmailError,
    types::{Body, Content, Destination, Message},
};
use lambda_runtime::{Diagnostic, LambdaEvent, service_fn};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Serialize, de::IgnoredAny};
use sqlx::{PgConnection, PgPool, postgres::types::PgInterval};
use store::{MissingSetting, aws_config, failure_code, setting};
use tokio::sync::OnceCell;
use uuid::Uuid;

use crate::{set_password::OneTimeToken, tell_administrators::tell_administrators};

/// How long a token is good that somebody has asked for just now.
const FORGOTTEN_PASSWORD_LIFETIME: Duration = Duration::from_mins(30);

/// How long a token is good that nobody is waiting for. Who comes later has forgotten
/// their password.
const INVITATION_LIFETIME: Duration = Duration::from_hours(24);

/// Nobody gets more than one message about a forgotten password in so long.
const PAUSE: Duration = Duration::from_mins(5);

/// How many messages one run sends: as many as fit into the function's time.
pub(crate) const MAX_MESSAGES: u32 = 100;

/// After so many failures in a row a run is given up: the mail service is down.
pub(crate) const MAX_FAILURES: u32 = 3;

/// What a run did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Messages that the mail service took.
    pub sent: u32,
    /// Messages to nobody: there is no such account, or it is disabled.
    pub dropped: u32,
    /// Messages that are due again later.
    pub failed: u32,
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

/// Sends with SES, connected with the first message.
#[derive(Debug)]
pub struct Mail {
    sender: String,
    clinic: String,
    client: OnceCell<aws_sdk_ses::Client>,
}

impl Mail {
    /// From `NOTIFICATIONS_SENDER`, in the name of `CLINIC_NAME`.
    ///
    /// # Errors
    /// If a setting is missing.
    pub fn from_env() -> Result<Self, MissingSetting> {
        Ok(Self {
            sender: setting("NOTIFICATIONS_SENDER")?,
            clinic: setting("CLINIC_NAME")?,
            client: OnceCell::new(),
        })
    }

    /// From this address, in the name of this clinic, with this client.
    #[must_use]
    pub fn new(sender: &str, clinic: &str, client: aws_sdk_ses::Client) -> Self {
        Self {
            sender: sender.to_owned(),
            clinic: clinic.to_owned(),
            client: OnceCell::from(client),
        }
    }

    async fn send_token(&self, due: &Due, token: &SecretString) -> Result<(), Unsent> {
        let text = include_str!("../templates/set-password.txt")
            .replace("{clinic}", &self.clinic)
            .replace("{reason}", due.reason())
            .replace("{token}", token.expose_secret())
            .replace("{lifetime}", due.lifetime_in_words());
        let subject = due.subject().replace("{clinic}", &self.clinic);
        self.send(&due.email, subject, text).await
    }

    pub(crate) async fn send(&self, to: &str, subject: String, text: String) -> Result<(), Unsent> {
        let content = |data: String| Content::builder().data(data).charset("UTF-8").build();
        let unmade = |_| Unsent::Later("the message cannot be made".to_owned());
        let message = Message::builder()
            .subject(content(subject).map_err(unmade)?)
            .body(Body::builder().text(content(text).map_err(unmade)?).build())
            .build();
        let client = self
            .client
            .get_or_init(|| async { aws_sdk_ses::Client::new(aws_config().await) })
            .await;
        let sent = client
            .send_email()
            .source(&self.sender)
            .destination(Destination::builder().to_addresses(to).build())
            .message(message)
            .send()
            .await;
        match sent {
            Ok(_) => Ok(()),
            // Its words may repeat the address, so only its code goes on.
            Err(error) => match error.as_service_error() {
                Some(SendEmailError::MessageRejected(refusal))
                    if !refusal
                        .message()
                        .is_some_and(|why| why.contains(&self.sender)) =>
                {
                    Err(Unsent::Never("MessageRejected".to_owned()))
                }
                Some(refusal) if refusal.code() == Some("InvalidParameterValue") => {
                    Err(Unsent::Never("InvalidParameterValue".to_owned()))
                }
                _ => Err(Unsent::Later(failure_code(&error))),
            },
        }
    }
}

/// Why a message was not sent, in words that say nothing about whom it is for.
pub(crate) enum Unsent {
    /// Trying again helps.
    Later(String),
    /// The mail service refuses the address for good.
    Never(String),
}

/// A message that is to be sent.
struct Due {
    id: Uuid,
    email: String,
    is_invitation: bool,
    /// Who has an account of this address, and may use it.
    user: Option<Uuid>,
    /// Whether they have been sent one a moment ago.
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
pub async fn serve(database: PgPool, mail: Mail) -> Result<(), lambda_runtime::Error> {
    let (database, mail) = (&database, &mail);
    lambda_runtime::run(service_fn(|_: LambdaEvent<IgnoredAny>| async move {
        match send_all(database, mail).await {
            Ok(report) => {
                tracing::info!(?report, "sent account messages");
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

/// What concerns an emergency first.
async fn send_all(database: &PgPool, mail: &Mail) -> Result<Report, SendError> {
    let notices = tell_administrators(database, mail).await?;
    let messages = send_account_messages(database, mail).await?;
    Ok(Report {
        sent: notices.sent + messages.sent,
        dropped: notices.dropped + messages.dropped,
        failed: notices.failed + messages.failed,
    })
}

/// Sends what is due. Several may do so at the same time.
///
/// # Errors
/// If the database does not answer. What was sent until then is not sent again.
pub async fn send_account_messages(database: &PgPool, mail: &Mail) -> Result<Report, SendError> {
    // What nobody can use any more.
    sqlx::query!("DELETE FROM auth.one_time_token WHERE expires_at < now()")
        .execute(database)
        .await?;
    let mut report = Report::default();
    let mut failures_in_a_row = 0;
    for _ in 0..MAX_MESSAGES {
        let mut transaction = database.begin().await?;
        let Some(due) = next(&mut transaction).await? else {
            break;
        };
        let outcome = match due.user {
            Some(user) if !due.was_just_sent => {
                let token = new_token(database, user, due.lifetime()).await?;
                Some((user, mail.send_token(&due, &token).await))
            }
            _ => None,
        };
        match outcome {
            None => {
                report.dropped += 1;
                remove(&mut transaction, due.id).await?;
            }
            Some((user, Ok(()))) => {
                tracing::info!(userId = %user, "sent a one-time token");
                report.sent += 1;
                failures_in_a_row = 0;
                remove(&mut transaction, due.id).await?;
            }
            Some((user, Err(Unsent::Never(reason)))) => {
                tracing::error!(userId = %user, reason, "a one-time token cannot be sent to this address");
                report.dropped += 1;
                remove(&mut transaction, due.id).await?;
            }
            Some((user, Err(Unsent::Later(reason)))) => {
                tracing::warn!(userId = %user, reason, "a one-time token was not sent yet");
                report.failed += 1;
                failures_in_a_row += 1;
                put_off(&mut transaction, due.id).await?;
            }
        }
        transaction.commit().await?;
        if failures_in_a_row == MAX_FAILURES {
            break;
        }
    }
    Ok(report)
}

/// The message that has been due for longest, ours until the transaction ends.
async fn next(transaction: &mut PgConnection) -> Result<Option<Due>, sqlx::Error> {
    sqlx::query_as!(
        Due,
        r#"SELECT message.id, message.email, message.kind = 'INVITATION' AS "is_invitation!",
                  account.id AS "user?",
                  EXISTS (
                      SELECT FROM auth.one_time_token token
                      WHERE message.kind = 'FORGOTTEN_PASSWORD' AND message.attempts = 0
                        AND token.user_id = account.id AND token.created_at > now() - $1::interval
                  ) AS "was_just_sent!"
           FROM auth.account_message message
           LEFT JOIN auth.user_account account
               ON account.email = message.email AND NOT account.disabled
           WHERE next_attempt_at <= now()
           ORDER BY next_attempt_at
           LIMIT 1
           FOR UPDATE OF message SKIP LOCKED"#,
        interval(PAUSE),
    )
    .fetch_optional(transaction)
    .await
}

/// A token whose hash is stored for certain before anybody is sent the token.
async fn new_token(
    database: &PgPool,
    user: Uuid,
    lifetime: Duration,
) -> Result<SecretString, SendError> {
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
    Ok(token.expose())
}

async fn remove(transaction: &mut PgConnection, id: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query!("DELETE FROM auth.account_message WHERE id = $1", id)
        .execute(transaction)
        .await?;
    Ok(())
}

/// Twice as long as the last time, an hour at most.
async fn put_off(transaction: &mut PgConnection, id: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE auth.account_message
         SET attempts = attempts + 1,
             next_attempt_at = now() + least(interval '1 minute' * power(2, least(attempts, 10)), interval '1 hour')
         WHERE id = $1",
        id
    )
    .execute(transaction)
    .await?;
    Ok(())
}

fn interval(duration: Duration) -> PgInterval {
    PgInterval {
        microseconds: i64::try_from(duration.as_micros()).unwrap_or(i64::MAX),
        ..PgInterval::default()
    }
}
