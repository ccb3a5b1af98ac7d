//! How sessions end: one, or all of a user.

use aws_sdk_dynamodb::{
    error::BuildError,
    operation::put_item::PutItemError,
    types::{Put, TransactWriteItem, Update},
};
use chrono::Utc;
use store::failure_code;
use uuid::Uuid;

use crate::{
    items::{SESSION, SessionItem, all_revoked, goes_on, session_key},
    no_session::NoSession,
    table::{ATTEMPTS, Sessions, is_collision, number, text, unless_condition_failed},
    unavailable::SessionsUnavailable,
};

impl Sessions {
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
}
