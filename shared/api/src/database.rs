//! How a PostgreSQL error is reported to clients.

use sql_state::Meaning;
use sqlx::Error;

use crate::Problem;

/// A database that is down, starting or saturated is temporarily unavailable. Anything else is our
/// own fault.
impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match sql_state::meaning(&error) {
            Meaning::Later | Meaning::Outdated => Self::unavailable(1, error),
            Meaning::Fault => Self::internal(error),
        }
    }
}

/// Whether the request failed only because one of its statements was prepared before a migration.
/// In that case, it has had no effect.
pub(crate) fn failed_as_outdated(problem: &Problem) -> bool {
    let cause = problem.cause::<Error>();
    cause.is_some_and(|error| sql_state::meaning(error) == Meaning::Outdated)
}

/// Lets the database decide: a violated constraint becomes the problem that it stands for.
pub trait OnConstraint<T> {
    /// Turns a violation of the constraint of this name into this problem. Other errors are
    /// converted as usual.
    ///
    /// # Errors
    /// The problem for whatever the statement failed with.
    fn on_constraint(self, name: &str, problem: impl FnOnce() -> Problem) -> Result<T, Problem>;
}

impl<T> OnConstraint<T> for Result<T, Error> {
    fn on_constraint(self, name: &str, problem: impl FnOnce() -> Problem) -> Result<T, Problem> {
        self.map_err(|error| match &error {
            Error::Database(refusal) if refusal.constraint() == Some(name) => {
                problem().caused_by(error)
            }
            _ => error.into(),
        })
    }
}
