//! What PostgreSQL's refusal means to a client of ours.

use sqlx::Error;

use crate::Problem;

/// The classes of SQLSTATE that pass by themselves: connection exceptions, insufficient
/// resources, operator intervention (which includes a statement's time-out),
/// serialisation failures, and a login that the server does not accept (yet)
/// (<https://www.postgresql.org/docs/current/errcodes-appendix.html>).
const PASSING_CLASSES: [&str; 5] = ["08", "53", "57", "40", "28"];

/// SQLSTATEs that pass: a lock that was not to be had in time, and a schema, a table, a
/// column or a function that is not there, or may not be used, before a deployment is
/// complete.
const PASSING: [&str; 6] = ["55P03", "3F000", "42P01", "42703", "42883", "42501"];

/// A database that is down, starting or saturated is unavailable for the moment.
/// Anything else is a fault of ours.
impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let passing = match &error {
            Error::PoolTimedOut | Error::PoolClosed | Error::Io(_) | Error::Tls(_) => true,
            Error::Database(refusal) => refusal.code().is_some_and(|code| {
                PASSING.contains(&code.as_ref())
                    || PASSING_CLASSES.iter().any(|class| code.starts_with(class))
            }),
            _ => false,
        };
        if passing {
            Self::unavailable(1, error)
        } else {
            Self::internal(error)
        }
    }
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
