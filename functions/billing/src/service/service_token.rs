//! The service token, which every call to the billing service must carry.

use std::fmt;

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use http::{HeaderMap, header};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use tonic::Status;

use super::refusal::refusal;

/// The shortest token, in bytes. Shorter ones can be guessed.
const MIN_BYTES: usize = 16;

/// The token is short enough to be guessed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a service token must have at least {MIN_BYTES} characters")]
pub struct WeakToken;

/// The token that callers know, as a digest. Digests have a fixed length, so comparing two takes
/// the same time wherever the tokens differ.
#[derive(Clone)]
pub struct ServiceToken([u8; 32]);

impl ServiceToken {
    /// The digest of this token.
    ///
    /// # Errors
    /// If it is short enough to be guessed.
    pub fn new(token: &str) -> Result<Self, WeakToken> {
        if token.len() < MIN_BYTES {
            return Err(WeakToken);
        }
        Ok(Self(Sha256::digest(token).into()))
    }

    fn is(&self, candidate: &str) -> bool {
        let candidate: [u8; 32] = Sha256::digest(candidate).into();
        self.0.ct_eq(&candidate).into()
    }
}

impl fmt::Debug for ServiceToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServiceToken")
    }
}

/// Rejects calls without `authorization: Bearer <token>`.
pub(crate) async fn demand(
    State(token): State<ServiceToken>,
    request: Request,
    next: Next,
) -> Response {
    match bearer(request.headers()) {
        Some(candidate) if token.is(candidate) => next.run(request).await,
        Some(_) => refusal(Status::unauthenticated("the service token is invalid")),
        None => refusal(Status::unauthenticated(
            "a service token is required: authorization: Bearer <token>",
        )),
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then_some(token.trim())
        .filter(|token| !token.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_exact_token_is_accepted() {
        let token = ServiceToken::new("a-token-for-the-tests").unwrap();
        assert!(token.is("a-token-for-the-tests"));
        for wrong in ["", "a-token-for-the-test", "a-token-for-the-tests "] {
            assert!(!token.is(wrong), "{wrong:?}");
        }
        assert_eq!(ServiceToken::new("short").err(), Some(WeakToken));
        assert_eq!(format!("{token:?}"), "ServiceToken");
    }

    #[test]
    fn only_a_bearer_token_is_read() {
        let read = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, value.parse().unwrap());
            bearer(&headers).map(ToOwned::to_owned)
        };
        assert_eq!(read("Bearer t").as_deref(), Some("t"));
        assert_eq!(read("bearer t").as_deref(), Some("t"));
        for other in ["", "t", "Bearer", "Bearer ", "Basic dDp0"] {
            assert_eq!(read(other), None, "{other:?}");
        }
        assert_eq!(bearer(&HeaderMap::new()), None);
    }
}
