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
    /// It is not one of our tokens, or no longer valid.
    #[error(transparent)]
    Invalid(#[from] InvalidToken),
    /// Its session has ended.
    #[error(transparent)]
    NoSession(#[from] NoSession),
    /// It cannot be verified: the keys are unavailable.
    #[error(transparent)]
    KeysUnavailable(#[from] KeysUnavailable),
    /// Its session cannot be checked.
    #[error(transparent)]
    SessionsUnavailable(#[from] SessionsUnavailable),
}

/// What access tokens are verified with: the public keys, and the sessions.
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

    /// The claims of the token in this `Authorization` header, if it is valid and its session has
    /// not ended. Forged tokens are rejected before the table of sessions is read.
    pub(crate) async fn verify(&self, authorization: &str) -> Result<Claims, Refusal> {
        let token = token_of(authorization).ok_or(Refusal::NoBearerToken)?;
        let keys = self.keys.keys_for(token).await?;
        let claims = identity::verify(token, &keys)?;
        Box::pin(self.sessions.check(claims.sid, claims.sub)).await??;
        Ok(claims)
    }
}

/// The scheme in any case, one space or more, and the token (RFC 9110, 11.4): what the gateway's
/// `ValidationExpression` accepts, too.
fn token_of(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then(|| token.trim_start_matches(' '))
}

/// 401 whatever is wrong with the token; 503 if that cannot be determined.
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
    fn a_bearer_token_follows_its_scheme() {
        for header in ["Bearer a.b.c", "bearer a.b.c", "BEARER  a.b.c"] {
            assert_eq!(token_of(header), Some("a.b.c"), "{header}");
        }
        // Nothing may follow the token. Servers strip trailing spaces before we see the header.
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
