//! How a PostgreSQL error is reported to clients.

use sql_state::Meaning;
use sqlx::Error;

use crate::Problem;

/// A database that is down, starting or saturated is temporarily unavailable. Anything else is our
/// own fault.
impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match sql_state::meaning(&error) {
            Meaning::Later | Meaning::Outdated | Meaning::GaveWay => Self::unavailable(1, error),
            Meaning::Fault => Self::internal(error),
        }
    }
}

/// What the statement that the request failed with means, if it was a statement.
pub(crate) fn meaning_of(problem: &Problem) -> Option<Meaning> {
    problem.cause::<Error>().map(sql_state::meaning)
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
