//! How long sessions last.

use std::time::Duration;

use store::{MissingSetting, setting};

/// The longest that any session may last. The revocation of a user's sessions is kept for longer
/// than that.
pub(crate) const LONGEST: Duration = Duration::from_hours(24);

/// How long sessions last.
#[derive(Debug, Clone, Copy)]
pub struct Lifetimes {
    /// The longest time without a refresh: the automatic logoff of 45 CFR 164.312(a)(2)(iii).
    pub idle: Duration,
    /// The longest time in any case, after which the password is required again.
    pub absolute: Duration,
    /// How long after its use a refresh token still leads to its successor.
    pub grace: Duration,
}

/// A setting is missing or invalid.
#[derive(Debug, thiserror::Error)]
pub enum InvalidLifetimes {
    /// It is missing.
    #[error(transparent)]
    Missing(#[from] MissingSetting),
    /// It is not a number, 0, or more than a day.
    #[error("{0} is not a number of minutes from 1 to 1440")]
    NoMinutes(&'static str),
}

impl Lifetimes {
    /// Long enough for a lost response, too short to do much with a stolen token.
    pub const GRACE: Duration = Duration::from_secs(10);

    /// Reads `SESSION_IDLE_MINUTES` and `SESSION_MINUTES`.
    ///
    /// # Errors
    /// If one of them is missing or not a number from 1 to 1440.
    pub fn from_env() -> Result<Self, InvalidLifetimes> {
        let minutes = |name| {
            let number: Option<u64> = setting(name)?.parse().ok();
            number
                .map(Duration::from_mins)
                .filter(|minutes| !minutes.is_zero() && *minutes <= LONGEST)
                .ok_or(InvalidLifetimes::NoMinutes(name))
        };
        Ok(Self {
            idle: minutes("SESSION_IDLE_MINUTES")?,
            absolute: minutes("SESSION_MINUTES")?,
            grace: Self::GRACE,
        })
    }
}
