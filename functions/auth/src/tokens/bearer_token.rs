//! The access token in an `Authorization` header.

use api::Problem;
use identity::{Claims, InvalidToken};
use sessions::{NoSession, Sessions, SessionsUnavailable};
use store::MissingSetting;

use super::keys_in_aws::{KeysUnavailable, PublicKeysTable};

/// Why a token is not accepted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    /// It is not `Bearer`, a space and a token.
    #[error("there is no bearer token")]
    NoBearerToken,
    /// It is no token of ours, or not any more.
    #[error(transparent)]
    Invalid(#[from] InvalidToken),
    /// Its session is over.
    #[error(transparent)]
    NoSession(#[from] NoSession),
    /// Nobody can tell whether it is ours.
    #[error(transparent)]
    KeysUnavailable(#[from] KeysUnavailable),
    /// Nobody can tell whether its session goes on.
    #[error(transparent)]
    SessionsUnavailable(#[from] SessionsUnavailable),
}

/// What tells valid access tokens from others: the public keys, and the sessions that go
/// on.
#[derive(Debug)]
pub struct Gate {
    keys: PublicKeysTable,
    sessions: Sessions,
}

store::from_environment!(Gate);

impl Gate {
    /// With these keys and sessions.
    #[must_use]
    pub const fn new(keys: PublicKeysTable, sessions: Sessions) -> Self {
        Self { keys, sessions }
    }

    /// With the keys and sessions of the deployment. Nothing is read yet.
    ///
    /// # Errors
    /// If a setting is missing.
    pub fn from_env() -> Result<Self, MissingSetting> {
        Ok(Self::new(
            PublicKeysTable::from_env()?,
            Sessions::from_env()?,
        ))
    }

    /// What the token in this `Authorization` header says, if it is valid and its session
    /// goes on. Forged tokens do not get as far as the table of sessions.
    pub(crate) async fn verify(&self, authorization: &str) -> Result<Claims, Refusal> {
        let token = token_of(authorization).ok_or(Refusal::NoBearerToken)?;
        let keys = self.keys.keys_for(token).await?;
        let claims = identity::verify(token, &keys)?;
        Box::pin(self.sessions.check(claims.sid, claims.sub)).await??;
        Ok(claims)
    }
}

/// The scheme in any case, one space or more, and the token (RFC 9110, 11.4): what the
/// gateway's `ValidationExpression` lets through, too.
fn token_of(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then(|| token.trim_start_matches(' '))
}

/// 401 whatever is wrong with the token; 503 if nobody can tell.
impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::KeysUnavailable(error) => error.into(),
            Refusal::SessionsUnavailable(error) => error.into(),
            refusal => Self::unauthorized().caused_by(refusal),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bearer_token_stands_behind_its_scheme() {
        for header in ["Bearer a.b.c", "bearer a.b.c", "BEARER  a.b.c"] {
            assert_eq!(token_of(header), Some("a.b.c"), "{header}");
        }
        // Nothing stands behind it. A server has taken away the spaces of its line.
        assert_eq!(token_of("Bearer a.b.c "), Some("a.b.c "));
        for header in [
            "",
            "Bearer",
            "a.b.c",
            "Basic a.b.c",
            "Bearera.b.c",
            "Bearer\ta.b.c",
        ] {
            assert_eq!(token_of(header), None, "{header}");
        }
    }
}
