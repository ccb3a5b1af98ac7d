//! What a login or a refresh returns: an access token and a refresh token.

use std::sync::Arc;

use api::Problem;
use chrono::{DateTime, Utc};
use identity::{AccessTokens, LIFETIME_SECONDS, Role};
use secrecy::ExposeSecret as _;
use serde::Serialize;
use sessions::{Lifetimes, NoSession, Presented, Running, Sessions, SessionsUnavailable};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::tokens::keys_in_aws::{KeysUnavailable, SigningKeySecret};

/// What granting access requires: the key that signs access tokens, and the sessions that they
/// belong to.
#[derive(Debug)]
pub struct Access {
    signing_key: SigningKeySecret,
    sessions: Sessions,
    lifetimes: Lifetimes,
}

store::from_environment!(Access);

impl Access {
    /// With these parts.
    #[must_use]
    pub const fn new(
        signing_key: SigningKeySecret,
        sessions: Sessions,
        lifetimes: Lifetimes,
    ) -> Self {
        Self {
            signing_key,
            sessions,
            lifetimes,
        }
    }

    /// With the settings of the deployment. Nothing is read yet.
    ///
    /// # Errors
    /// If a setting is missing or invalid.
    pub fn from_env() -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Self::new(
            SigningKeySecret::from_env()?,
            Sessions::from_env()?,
            Lifetimes::from_env()?,
        ))
    }

    pub(crate) const fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    pub(crate) async fn tokens(&self) -> Result<Arc<AccessTokens>, KeysUnavailable> {
        self.signing_key.access_tokens().await
    }

    pub(crate) async fn begin(
        &self,
        user: Uuid,
        authenticated: DateTime<Utc>,
    ) -> Result<Running, SessionsUnavailable> {
        let sessions = &self.sessions;
        sessions.begin(user, authenticated, &self.lifetimes).await
    }

    pub(crate) async fn rotate(
        &self,
        presented: &Presented,
    ) -> Result<Result<Running, NoSession>, SessionsUnavailable> {
        self.sessions.rotate(presented, &self.lifetimes).await
    }
}

/// The tokens of a session.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = json!({
    "token": "eyJ0eXAiOiJhdCtqd3QiLCJhbGciOiJFUzI1NiIsImtpZCI6Ii4uLiJ9.eyJpc3MiOiIuLi4ifQ.c2ln",
    "tokenType": "Bearer",
    "expiresIn": 900,
    "refreshToken": "f2X0lQ1rTg-3mS0kXwJ8q0m5o1v9bq0m7c1yqv3b0Zk8q9m4n6r2s8t0u1w3x5y7",
    "role": "CLINICIAN"
}))]
pub(crate) struct AccessResponse {
    /// The access token, for `Authorization: Bearer …`.
    token: String,
    /// How the token is presented: always `Bearer`.
    token_type: &'static str,
    /// How long the token is valid, in seconds.
    expires_in: i64,
    /// Valid for one `POST /auth/refresh`. Keep it as secret as a password.
    refresh_token: String,
    /// The user's role, which determines their permissions.
    role: Role,
}

impl AccessResponse {
    pub(crate) fn new(
        tokens: &AccessTokens,
        user: Uuid,
        role: Role,
        running: &Running,
    ) -> Result<Self, Problem> {
        let token = tokens
            .issue(user, role, running.session)
            .map_err(Problem::internal)?;
        Ok(Self {
            token,
            token_type: "Bearer",
            expires_in: LIFETIME_SECONDS,
            refresh_token: running.refresh_token.expose_secret().to_owned(),
            role,
        })
    }
}
