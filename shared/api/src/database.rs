//! What PostgreSQL's refusal means to a client of ours.

use sql_state::Meaning;
use sqlx::Error;

use crate::Problem;

/// A database that is down, starting or saturated is unavailable for the moment.
/// Anything else is a fault of ours.
impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match sql_state::meaning(&error) {
            Meaning::Later | Meaning::Outdated => Self::unavailable(1, error),
            Meaning::Fault => Self::internal(error),
        }
    }
}

/// Whether the request failed only because one of its statements was prepared before a
/// migration. Nothing of it has happened then.
pub(crate) fn failed_as_outdated(problem: &Problem) -> bool {
    let cause = problem.cause::<Error>();
    cause.is_some_and(|error| sql_state::meaning(error) == Meaning::Outdated)
}

/// Lets the database decide: a violated constraint becomes the problem it stands for.
pub trait OnConstraint<T> {
    /// The problem for a violation of the constraint of this name; every other error as
    /// it is.
    ///
    /// # Errors
    /// Whatever the statement failed with.
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
