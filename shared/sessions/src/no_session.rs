//! Why a session is over.

/// Why a session is over, or never existed. For the log: clients get the same response in every
/// case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoSession {
    /// No such session or refresh token is known.
    #[error("no such session")]
    Unknown,
    /// It was logged out, or a used refresh token came back.
    #[error("the session was revoked")]
    Revoked,
    /// All sessions of the user were revoked.
    #[error("all sessions of the user were revoked")]
    AllRevoked,
    /// It was not refreshed for too long.
    #[error("the session was idle for too long")]
    Idle,
    /// It has reached the longest lifetime of a session.
    #[error("the session has reached its longest lifetime")]
    Ended,
    /// The refresh token had been used before. This ended the session.
    #[error("a used refresh token came back")]
    Reused,
}

/// 401, with the same text whatever the reason.
impl From<NoSession> for api::Problem {
    fn from(reason: NoSession) -> Self {
        Self::new(
            api::ProblemType::Unauthorized,
            "The session is over, please log in again",
        )
        .caused_by(reason)
    }
}
