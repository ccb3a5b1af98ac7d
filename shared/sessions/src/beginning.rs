//! How a session starts, and whether it continues.

use chrono::{DateTime, Utc};
use secrecy::SecretString;
use store::failure_code;
use uuid::Uuid;

use crate::{
    items::{
        ALL, AllRevokedItem, SESSION, SessionItem, goes_on, session_key, token_item, user_key,
    },
    lifetimes::Lifetimes,
    no_session::NoSession,
    opaque_token::SuccessorKey,
    refresh_token::RefreshToken,
    table::Sessions,
    unavailable::SessionsUnavailable,
};

/// A valid session and the token that continues it.
#[derive(Debug)]
pub struct Running {
    /// The session's id.
    pub session: Uuid,
    /// Good for one refresh.
    pub refresh_token: SecretString,
}

impl Sessions {
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

    pub(crate) async fn read_session_and_revocation(
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
}
