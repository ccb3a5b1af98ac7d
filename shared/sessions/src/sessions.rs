//! The table of sessions: how they start, continue and end.

use std::collections::HashMap;

use aws_sdk_dynamodb::{
    error::{BuildError, SdkError},
    operation::{
        put_item::PutItemError,
        transact_write_items::TransactWriteItemsError,
        update_item::{UpdateItemError, UpdateItemOutput},
    },
    types::{AttributeValue, KeysAndAttributes, Put, TransactWriteItem, Update},
};
use chrono::{DateTime, Utc};
use secrecy::SecretString;
use serde::{Serialize, de::DeserializeOwned};
use store::{MissingSetting, Table, failure_code};
use uuid::Uuid;

use crate::{
    items::{
        ALL, AllRevokedItem, SESSION, SessionItem, TokenItem, all_revoked, began_the_generation,
        goes_on, session_key, token_item, token_key, user_key,
    },
    lifetimes::Lifetimes,
    no_session::NoSession,
    opaque_token::{NoRandomness, SuccessorKey},
    refresh_token::RefreshToken,
};

/// How often a rotation is retried that collided with another one of the same session.
const ATTEMPTS: u32 = 5;

/// It cannot be determined which sessions there are. No token is accepted or issued then.
#[derive(Debug, thiserror::Error)]
pub enum SessionsUnavailable {
    /// The table rejected the request, or did not respond.
    #[error("the sessions table did not respond: {0}")]
    Failed(String),
    /// Other changes were always faster.
    #[error("the session was changed by others at the same time")]
    Contention,
    /// It contains an item that is not a session, or an item cannot be encoded.
    #[error("the sessions table contains an unknown item")]
    Malformed(#[from] serde_dynamo::Error),
    /// A request cannot be built.
    #[error(transparent)]
    Request(#[from] BuildError),
    /// A token cannot be generated.
    #[error("no random numbers are available: {0}")]
    NoRandomness(String),
}

impl From<NoRandomness> for SessionsUnavailable {
    fn from(error: NoRandomness) -> Self {
        Self::NoRandomness(error.to_string())
    }
}

/// 503.
impl From<SessionsUnavailable> for api::Problem {
    fn from(error: SessionsUnavailable) -> Self {
        Self::unavailable(1, error)
    }
}

/// A valid session and the token that continues it.
#[derive(Debug)]
pub struct Running {
    /// The session's id.
    pub session: Uuid,
    /// Good for one refresh.
    pub refresh_token: SecretString,
}

/// A refresh token and its session, as of the moment when they were looked up.
#[derive(Debug)]
pub struct Presented {
    /// The user whose session it is.
    pub user: Uuid,
    /// The session's id.
    pub session: Uuid,
    token: RefreshToken,
}

/// The table of all sessions.
#[derive(Debug)]
pub struct Sessions {
    table: Table,
}

store::from_environment!(Sessions);

impl Sessions {
    /// The table named by `SESSIONS_TABLE`. Nothing is read yet.
    ///
    /// # Errors
    /// If the setting is missing.
    pub fn from_env() -> Result<Self, MissingSetting> {
        Ok(Self::new(Table::from_env("SESSIONS_TABLE")?))
    }

    /// The sessions in this table.
    #[must_use]
    pub const fn new(table: Table) -> Self {
        Self { table }
    }

    /// Starts a session of this user, whose password was verified right after `authenticated`. This
    /// must be a time before the account was read, so that a change of the account that was missed
    /// by the read revokes the session.
    ///
    /// # Errors
    /// If it cannot be written.
    pub async fn begin(
        &self,
        user: Uuid,
        authenticated: DateTime<Utc>,
        lifetimes: &Lifetimes,
    ) -> Result<Running, SessionsUnavailable> {
        let session = Uuid::new_v4();
        self.begin_as(session, user, authenticated, lifetimes).await
    }

    pub(crate) async fn begin_as(
        &self,
        session: Uuid,
        user: Uuid,
        authenticated: DateTime<Utc>,
        lifetimes: &Lifetimes,
    ) -> Result<Running, SessionsUnavailable> {
        let token = RefreshToken::generate(session.into_bytes())?;
        let now = Utc::now();
        let ends_at = now + lifetimes.absolute;
        let item = SessionItem {
            pk: session_key(session),
            sk: SESSION.to_owned(),
            user_id: user,
            authenticated_at: authenticated.timestamp_millis(),
            idle_until: (now + lifetimes.idle).min(ends_at).timestamp_millis(),
            ends_at: ends_at.timestamp_millis(),
            secret: Some(SuccessorKey::generate()?),
            generation: 0,
            rotated_by: None,
            rotated_at: None,
            revoked_at: None,
            expires_at: ends_at.timestamp(),
        };
        let written = self
            .table
            .client()
            .await
            .transact_write_items()
            .transact_items(self.put(&item)?)
            .transact_items(self.put(&token_item(&token, 0, item.expires_at))?)
            .send()
            .await;
        written.map_err(|error| SessionsUnavailable::Failed(failure_code(&error)))?;
        Ok(Running {
            session,
            refresh_token: token.expose(),
        })
    }

    /// Whether this session of this user is valid.
    ///
    /// # Errors
    /// If the table cannot be read.
    pub async fn check(
        &self,
        session: Uuid,
        user: Uuid,
    ) -> Result<Result<(), NoSession>, SessionsUnavailable> {
        let state = self.state(session, user).await?;
        if state != Err(NoSession::AllRevoked) {
            return Ok(state);
        }
        // This may be the session that was kept while all others were revoked, and the first read
        // saw only the revocation: two items are not read at the same moment.
        self.state(session, user).await
    }

    async fn state(
        &self,
        session: Uuid,
        user: Uuid,
    ) -> Result<Result<(), NoSession>, SessionsUnavailable> {
        let (session, all_revoked) = self.read_session_and_revocation(session, user).await?;
        let Some(session) = session.filter(|session| session.user_id == user) else {
            return Ok(Err(NoSession::Unknown));
        };
        Ok(goes_on(&session, all_revoked.as_ref(), Utc::now()))
    }

    /// The session of a refresh token.
    ///
    /// # Errors
    /// If the table cannot be read.
    pub async fn find(
        &self,
        token: &SecretString,
    ) -> Result<Result<Presented, NoSession>, SessionsUnavailable> {
        let Some(token) = RefreshToken::parse(token) else {
            return Ok(Err(NoSession::Unknown));
        };
        let session = Uuid::from_bytes(token.public);
        let found = self.read_session_and_token(session, &token).await?;
        Ok(found.map(|(item, _)| Presented {
            user: item.user_id,
            session,
            token,
        }))
    }

    /// Exchanges a refresh token for its successor, or ends the session if the token has been used
    /// before (see the crate's documentation). Repeated within the grace period, it returns the
    /// same successor.
    ///
    /// # Errors
    /// If the table cannot be read or written. The token is then still good, at least for the grace
    /// period.
    pub async fn rotate(
        &self,
        presented: &Presented,
        lifetimes: &Lifetimes,
    ) -> Result<Result<Running, NoSession>, SessionsUnavailable> {
        let Presented {
            user,
            session,
            token,
        } = presented;
        for _ in 0..ATTEMPTS {
            // Read in this order: a session that is kept while all others are revoked is then
            // either seen as it is afterwards, or both are seen as they were before.
            let all_revoked: Option<AllRevokedItem> = self
                .read([(user_key(*user), ALL.to_owned())])
                .await?
                .take(ALL)?;
            let (item, used) = match self.read_session_and_token(*session, token).await? {
                Ok(found) => found,
                Err(refusal) => return Ok(Err(refusal)),
            };
            let now = Utc::now();
            if let Err(refusal) = goes_on(&item, all_revoked.as_ref(), now) {
                return Ok(Err(refusal));
            }
            let Some(secret) = &item.secret else {
                return Ok(Err(NoSession::Ended));
            };
            let next = token.successor(secret);
            let running = || Running {
                session: *session,
                refresh_token: next.expose(),
            };
            if began_the_generation(&item, &used, token, now, lifetimes.grace) {
                return Ok(Ok(running()));
            }
            if used.generation != item.generation {
                self.end(*session).await?;
                return Ok(Err(NoSession::Reused));
            }
            let next_item = token_item(&next, used.generation + 1, item.expires_at);
            let written = self
                .table
                .client()
                .await
                .transact_write_items()
                .transact_items(self.begin_generation(&item, token, now, lifetimes)?)
                .transact_items(self.put(&next_item)?)
                .send()
                .await;
            match written {
                Ok(_) => return Ok(Ok(running())),
                Err(error) if is_collision(&error) => {}
                Err(error) => return Err(SessionsUnavailable::Failed(failure_code(&error))),
            }
        }
        Err(SessionsUnavailable::Contention)
    }

    /// Keeps a refresh token valid that has been exchanged for a successor which the client will
    /// not get: for as long as the session may be idle, or until the successor is used.
    ///
    /// # Errors
    /// If it cannot be written. The token is then still good for the grace period.
    pub async fn keep(&self, presented: &Presented) -> Result<(), SessionsUnavailable> {
        let kept = self
            .table
            .client()
            .await
            .update_item()
            .table_name(self.table.name())
            .key("pk", text(session_key(presented.session)))
            .key("sk", text(SESSION))
            .update_expression("SET rotatedAt = idleUntil")
            .condition_expression("rotatedBy = :token")
            .expression_attribute_values(":token", text(presented.token.hash()))
            .send()
            .await;
        unless_condition_failed(kept)
    }

    /// Ends a session if it exists.
    ///
    /// # Errors
    /// If it cannot be written.
    pub async fn end(&self, session: Uuid) -> Result<(), SessionsUnavailable> {
        let ended = self
            .table
            .client()
            .await
            .update_item()
            .table_name(self.table.name())
            .key("pk", text(session_key(session)))
            .key("sk", text(SESSION))
            .update_expression("SET revokedAt = if_not_exists(revokedAt, :now)")
            .condition_expression("attribute_exists(pk)")
            .expression_attribute_values(":now", number(Utc::now().timestamp_millis()))
            .send()
            .await;
        unless_condition_failed(ended)
    }

    /// Ends every session of this user that was authenticated until now.
    ///
    /// # Errors
    /// If it cannot be written.
    pub async fn end_all(&self, user: Uuid) -> Result<(), SessionsUnavailable> {
        let item = all_revoked(user, Utc::now().timestamp_millis());
        let put = self
            .table
            .client()
            .await
            .put_item()
            .table_name(self.table.name())
            // A process whose clock is ahead of ours has revoked more than we would.
            .condition_expression("attribute_not_exists(pk) OR revokedAt < :now")
            .expression_attribute_values(":now", number(item.revoked_at))
            .set_item(Some(serde_dynamo::to_item(item)?))
            .send()
            .await;
        match put {
            Ok(_) => Ok(()),
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(PutItemError::is_conditional_check_failed_exception) =>
            {
                Ok(())
            }
            Err(error) => Err(SessionsUnavailable::Failed(failure_code(&error))),
        }
    }

    /// Ends every session of this user that was authenticated until now, except this one, in which
    /// the user has just proved that they know the password. A session that is over stays over, and
    /// ends no other.
    ///
    /// # Errors
    /// If the table cannot be read or written.
    pub async fn end_others(
        &self,
        user: Uuid,
        kept: Uuid,
    ) -> Result<Result<(), NoSession>, SessionsUnavailable> {
        for _ in 0..ATTEMPTS {
            let (session, before) = self.read_session_and_revocation(kept, user).await?;
            let now = Utc::now();
            let session = match session {
                Some(session) if session.user_id == user => session,
                _ => return Ok(Err(NoSession::Unknown)),
            };
            if let Err(refusal) = goes_on(&session, before.as_ref(), now) {
                return Ok(Err(refusal));
            }
            let before = before.map(|before| before.revoked_at);
            let now = now.timestamp_millis().max(before.unwrap_or(i64::MIN));
            let written = self
                .table
                .client()
                .await
                .transact_write_items()
                .transact_items(self.revoke_all_after(user, before, now)?)
                .transact_items(self.authenticate_again(&session, now + 1)?)
                .send()
                .await;
            match written {
                Ok(_) => return Ok(Ok(())),
                Err(error) if is_collision(&error) => {}
                Err(error) => return Err(SessionsUnavailable::Failed(failure_code(&error))),
            }
        }
        Err(SessionsUnavailable::Contention)
    }

    /// Revokes all sessions of the user, unless they have been revoked since `before`.
    fn revoke_all_after(
        &self,
        user: Uuid,
        before: Option<i64>,
        now: i64,
    ) -> Result<TransactWriteItem, SessionsUnavailable> {
        let put = Put::builder()
            .table_name(self.table.name())
            .set_item(Some(serde_dynamo::to_item(all_revoked(user, now))?));
        let put = match before {
            None => put.condition_expression("attribute_not_exists(pk)"),
            Some(before) => put
                .condition_expression("revokedAt = :before")
                .expression_attribute_values(":before", number(before)),
        };
        Ok(TransactWriteItem::builder().put(put.build()?).build())
    }

    /// Records that the session's password was verified at this time, unless the session has ended
    /// or its password was verified in the meantime.
    fn authenticate_again(
        &self,
        session: &SessionItem,
        at: i64,
    ) -> Result<TransactWriteItem, BuildError> {
        let update = Update::builder()
            .table_name(self.table.name())
            .key("pk", text(&session.pk))
            .key("sk", text(&session.sk))
            .update_expression("SET authenticatedAt = :at")
            .condition_expression("authenticatedAt = :before AND attribute_not_exists(revokedAt)")
            .expression_attribute_values(":at", number(at))
            .expression_attribute_values(":before", number(session.authenticated_at))
            .build()?;
        Ok(TransactWriteItem::builder().update(update).build())
    }

    async fn read_session_and_revocation(
        &self,
        session: Uuid,
        user: Uuid,
    ) -> Result<(Option<SessionItem>, Option<AllRevokedItem>), SessionsUnavailable> {
        let mut found = self
            .read([
                (session_key(session), SESSION.to_owned()),
                (user_key(user), ALL.to_owned()),
            ])
            .await?;
        Ok((found.take(SESSION)?, found.take(ALL)?))
    }

    /// Starts the next generation with this token, unless the session has changed.
    fn begin_generation(
        &self,
        item: &SessionItem,
        token: &RefreshToken,
        now: DateTime<Utc>,
        lifetimes: &Lifetimes,
    ) -> Result<TransactWriteItem, BuildError> {
        let idle_until = (now + lifetimes.idle).timestamp_millis().min(item.ends_at);
        let update = Update::builder()
            .table_name(self.table.name())
            .key("pk", text(&item.pk))
            .key("sk", text(&item.sk))
            .update_expression(
                "SET generation = :next, rotatedBy = :token, rotatedAt = :now, idleUntil = :idle",
            )
            .condition_expression("generation = :this AND attribute_not_exists(revokedAt)")
            .expression_attribute_values(":this", number(item.generation.into()))
            .expression_attribute_values(":next", number(i64::from(item.generation) + 1))
            .expression_attribute_values(":token", text(token.hash()))
            .expression_attribute_values(":now", number(now.timestamp_millis()))
            .expression_attribute_values(":idle", number(idle_until))
            .build()?;
        Ok(TransactWriteItem::builder().update(update).build())
    }

    async fn read_session_and_token(
        &self,
        session: Uuid,
        token: &RefreshToken,
    ) -> Result<Result<(SessionItem, TokenItem), NoSession>, SessionsUnavailable> {
        let token = token_key(token);
        let pk = session_key(session);
        let mut found = self
            .read([(pk.clone(), SESSION.to_owned()), (pk, token.clone())])
            .await?;
        Ok(match (found.take(SESSION)?, found.take(&token)?) {
            (Some(session), Some(token)) => Ok((session, token)),
            _ => Err(NoSession::Unknown),
        })
    }

    /// Reads these items with strong consistency.
    async fn read<const N: usize>(
        &self,
        keys: [(String, String); N],
    ) -> Result<Found, SessionsUnavailable> {
        let keys = keys
            .into_iter()
            .map(|(pk, sk)| {
                HashMap::from([("pk".to_owned(), text(pk)), ("sk".to_owned(), text(sk))])
            })
            .collect();
        let keys = KeysAndAttributes::builder()
            .consistent_read(true)
            .set_keys(Some(keys))
            .build()?;
        let answer = self
            .table
            .client()
            .await
            .batch_get_item()
            .request_items(self.table.name(), keys)
            .send()
            .await
            .map_err(|error| SessionsUnavailable::Failed(failure_code(&error)))?;
        // An item that was not read may exist all the same.
        if answer
            .unprocessed_keys()
            .is_some_and(|keys| !keys.is_empty())
        {
            return Err(SessionsUnavailable::Failed("throttled".to_owned()));
        }
        let mut responses = answer.responses.unwrap_or_default();
        let items = responses.remove(self.table.name()).unwrap_or_default();
        Ok(Found(items))
    }

    fn put(&self, item: &impl Serialize) -> Result<TransactWriteItem, SessionsUnavailable> {
        let put = Put::builder()
            .table_name(self.table.name())
            .set_item(Some(serde_dynamo::to_item(item)?))
            .condition_expression("attribute_not_exists(pk)")
            .build()?;
        Ok(TransactWriteItem::builder().put(put).build())
    }
}

struct Found(Vec<HashMap<String, AttributeValue>>);

impl Found {
    /// The item with this sort key.
    fn take<T: DeserializeOwned>(&mut self, sk: &str) -> Result<Option<T>, serde_dynamo::Error> {
        let is_it = |item: &HashMap<String, AttributeValue>| {
            item.get("sk")
                .and_then(|key| key.as_s().ok())
                .map(String::as_str)
                == Some(sk)
        };
        let position = self.0.iter().position(is_it);
        position
            .map(|position| serde_dynamo::from_item(self.0.swap_remove(position)))
            .transpose()
    }
}

/// Whether somebody else changed the session at the same time.
fn is_collision(error: &SdkError<TransactWriteItemsError>) -> bool {
    match error.as_service_error() {
        Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) => {
            let mut codes = cancelled
                .cancellation_reasons()
                .iter()
                .filter_map(|reason| reason.code());
            codes.any(|code| matches!(code, "ConditionalCheckFailed" | "TransactionConflict"))
        }
        Some(TransactWriteItemsError::TransactionInProgressException(_)) => true,
        _ => false,
    }
}

/// Success if the update was made, or if another change has made it unnecessary.
fn unless_condition_failed(
    updated: Result<UpdateItemOutput, SdkError<UpdateItemError>>,
) -> Result<(), SessionsUnavailable> {
    match updated {
        Ok(_) => Ok(()),
        Err(error)
            if error
                .as_service_error()
                .is_some_and(UpdateItemError::is_conditional_check_failed_exception) =>
        {
            Ok(())
        }
        Err(error) => Err(SessionsUnavailable::Failed(failure_code(&error))),
    }
}

fn text(text: impl Into<String>) -> AttributeValue {
    AttributeValue::S(text.into())
}

fn number(number: i64) -> AttributeValue {
    AttributeValue::N(number.to_string())
}
