//! Why it cannot be said which sessions there are.

use aws_sdk_dynamodb::error::BuildError;

use crate::opaque_token::NoRandomness;

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
