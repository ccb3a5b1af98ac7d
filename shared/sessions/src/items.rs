//! The items of the table, and what they say about a session.
//!
//! | item | `pk` | `sk` |
//! |---|---|---|
//! | a session | `SESSION#<id>` | `SESSION` |
//! | a refresh token of it, used or not | `SESSION#<id>` | `REFRESH#<SHA-256 of the token>` |
//! | the revocation of all of a user's sessions | `USER#<id>` | `SESSIONS` |

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    NoSession, lifetimes::LONGEST, opaque_token::SuccessorKey, refresh_token::RefreshToken,
};

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SessionItem {
    pub(crate) pk: String,
    pub(crate) sk: String,
    pub(crate) user_id: Uuid,
    /// When the password was last verified for it, in milliseconds since 1970.
    pub(crate) authenticated_at: i64,
    /// In milliseconds since 1970.
    pub(crate) idle_until: i64,
    /// In milliseconds since 1970.
    pub(crate) ends_at: i64,
    /// The key from which the successors of its refresh tokens are derived. Sessions from before
    /// there were such keys have none, and end with their access token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) secret: Option<SuccessorKey>,
    pub(crate) generation: u32,
    /// The hash of the token that started the current generation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) rotated_by: Option<String>,
    /// In milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) rotated_at: Option<i64>,
    /// In milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) revoked_at: Option<i64>,
    /// When `DynamoDB` may delete it, in seconds since 1970.
    pub(crate) expires_at: i64,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TokenItem {
    pub(crate) pk: String,
    pub(crate) sk: String,
    pub(crate) generation: u32,
    pub(crate) expires_at: i64,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AllRevokedItem {
    pub(crate) pk: String,
    pub(crate) sk: String,
    /// In milliseconds since 1970.
    pub(crate) revoked_at: i64,
    pub(crate) expires_at: i64,
}

pub(crate) const SESSION: &str = "SESSION";
pub(crate) const ALL: &str = "SESSIONS";

pub(crate) fn session_key(session: Uuid) -> String {
    format!("SESSION#{session}")
}

pub(crate) fn token_key(token: &RefreshToken) -> String {
    format!("REFRESH#{}", token.hash())
}

pub(crate) fn user_key(user: Uuid) -> String {
    format!("USER#{user}")
}

pub(crate) fn goes_on(
    session: &SessionItem,
    all_revoked: Option<&AllRevokedItem>,
    now: DateTime<Utc>,
) -> Result<(), NoSession> {
    let now = now.timestamp_millis();
    if session.revoked_at.is_some() {
        Err(NoSession::Revoked)
    } else if all_revoked.is_some_and(|all| session.authenticated_at <= all.revoked_at) {
        Err(NoSession::AllRevoked)
    } else if session.ends_at <= now {
        Err(NoSession::Ended)
    } else if session.idle_until <= now {
        Err(NoSession::Idle)
    } else {
        Ok(())
    }
}

pub(crate) fn all_revoked(user: Uuid, now: i64) -> AllRevokedItem {
    AllRevokedItem {
        pk: user_key(user),
        sk: ALL.to_owned(),
        revoked_at: now,
        // Even a session that has just started is over by then.
        expires_at: (Utc::now() + LONGEST + LONGEST).timestamp(),
    }
}

/// Whether this is the token that started the session's current generation a moment ago.
pub(crate) fn began_the_generation(
    session: &SessionItem,
    used: &TokenItem,
    token: &RefreshToken,
    now: DateTime<Utc>,
    grace: Duration,
) -> bool {
    // Negative if the clock of the process that rotated it is ahead of ours: that is a moment ago,
    // too.
    let grace = i64::try_from(grace.as_millis()).unwrap_or(i64::MAX);
    let is_recent = session
        .rotated_at
        .is_some_and(|at| now.timestamp_millis() - at < grace);
    used.generation + 1 == session.generation
        && session.rotated_by.as_deref() == Some(token.hash().as_str())
        && is_recent
}

pub(crate) fn token_item(token: &RefreshToken, generation: u32, expires_at: i64) -> TokenItem {
    TokenItem {
        pk: session_key(Uuid::from_bytes(token.public)),
        sk: token_key(token),
        generation,
        expires_at,
    }
}
