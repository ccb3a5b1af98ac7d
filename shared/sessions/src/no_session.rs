//! Why a session does not go on.

/// Why a session is over, or never was. For the log: clients are told the same in every
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
    /// Nobody refreshed it for too long.
    #[error("the session was idle for too long")]
    Idle,
    /// It has lasted as long as any may.
    #[error("the session has lasted long enough")]
    Ended,
    /// The refresh token had been used before. This ended the session.
    #[error("a used refresh token came back")]
    Reused,
}

/// 401, in the same words whatever the reason.
impl From<NoSession> for api::Problem {
    fn from(reason: NoSession) -> Self {
        Self::new(
            api::ProblemType::Unauthorized,
            "The session is over, please log in again",
        )
        .caused_by(reason)
    }
}
