//! How a session continues: one refresh token for the next.

use aws_sdk_dynamodb::{
    error::BuildError,
    types::{TransactWriteItem, Update},
};
use chrono::{DateTime, Utc};
use secrecy::SecretString;
use store::failure_code;
use uuid::Uuid;

use crate::{
    beginning::Running,
    items::{
        ALL, AllRevokedItem, SESSION, SessionItem, TokenItem, began_the_generation, goes_on,
        session_key, token_item, token_key, user_key,
    },
    lifetimes::Lifetimes,
    no_session::NoSession,
    refresh_token::RefreshToken,
    table::{ATTEMPTS, Sessions, is_collision, number, text, unless_condition_failed},
    unavailable::SessionsUnavailable,
};

/// A refresh token and its session, as of the moment when they were looked up.
#[derive(Debug)]
pub struct Presented {
    /// The user whose session it is.
    pub user: Uuid,
    /// The session's id.
    pub session: Uuid,
    token: RefreshToken,
}

impl Sessions {
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
}
