//! The access token in an `Authorization` header.

use api::Problem;
use identity::{Claims, InvalidToken};

use crate::keys_in_aws::{KeysUnavailable, PublicKeysParameter};

/// Why a token is not accepted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    /// It is not `Bearer`, a space and a token.
    #[error("there is no bearer token")]
    NoBearerToken,
    /// It is no token of ours, or not any more.
    #[error(transparent)]
    Invalid(#[from] InvalidToken),
    /// Nobody can tell.
    #[error(transparent)]
    KeysUnavailable(#[from] KeysUnavailable),
}

/// What the token in this `Authorization` header says, if it is valid.
pub(crate) async fn verify(
    authorization: &str,
    keys: &PublicKeysParameter,
) -> Result<Claims, Refusal> {
    let token = token_of(authorization).ok_or(Refusal::NoBearerToken)?;
    let keys = keys.keys_for(token).await?;
    Ok(identity::verify(token, &keys)?)
}

/// The scheme is not case-sensitive (RFC 9110), the token is.
fn token_of(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then(|| token.trim_matches(' '))
}

/// 401 whatever is wrong with the token; 503 if nobody can tell.
impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::KeysUnavailable(error) => error.into(),
            refusal => Self::unauthorized().caused_by(refusal),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bearer_token_stands_behind_its_scheme() {
        for header in ["Bearer a.b.c", "bearer a.b.c", "BEARER  a.b.c "] {
            assert_eq!(token_of(header), Some("a.b.c"), "{header}");
        }
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
