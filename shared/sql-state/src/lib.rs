//! What a failed statement means to whoever waits for it.
//!
//! PostgreSQL says why it refuses with a SQLSTATE
//! (<https://www.postgresql.org/docs/current/errcodes-appendix.html>).

use std::{
    sync::{PoisonError, RwLock},
    time::{Duration, Instant},
};

use sqlx::{Error, error::DatabaseError, postgres::PgDatabaseError};

/// The classes that pass by themselves: connection exceptions, logins that the server does not
/// accept (yet), transactions that others made fail, insufficient resources, operator
/// intervention (which includes a statement's time-out), and errors of the system below.
const PASSING_CLASSES: [&str; 6] = ["08", "28", "40", "53", "57", "58"];

/// What passes though the rest of its class does not.
const PASSING: [&str; 12] = [
    "25006", // a standby, before it takes over or after it was taken over
    "25P03", // the connection was idle in its transaction for too long
    "25P04", // the transaction took too long
    "55006", // others use the object
    "55P03", // a lock was not to be had in time
    // Before a deployment is complete, it is not there, or may not be used:
    "3D000", // a database
    "3F000", // a schema
    "42P01", // a table
    "42703", // a column
    "42704", // a constraint
    "42883", // a function
    "42501", // anything
];

/// What a failed statement means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// It will succeed some time later.
    Later,
    /// It succeeds at once on a connection that prepares it anew, see [`forget_statements`].
    Outdated,
    /// The statement, or what it was given, is wrong.
    Fault,
}

/// What the error means.
#[must_use]
pub fn meaning(error: &Error) -> Meaning {
    let refusal = match error {
        Error::PoolTimedOut | Error::PoolClosed | Error::Io(_) | Error::Tls(_) => {
            return Meaning::Later;
        }
        Error::Database(refusal) => refusal,
        _ => return Meaning::Fault,
    };
    let code = refusal.code();
    let code = code.as_deref().unwrap_or_default();
    if is_outdated(code, refusal.as_ref()) {
        Meaning::Outdated
    } else if PASSING.contains(&code) || PASSING_CLASSES.iter().any(|class| code.starts_with(class))
    {
        Meaning::Later
    } else {
        Meaning::Fault
    }
}

/// Whether the statement was prepared for a table that has changed since ("cached plan must not
/// change result type"), or on a connection that a pooler has given to somebody else.
fn is_outdated(code: &str, refusal: &dyn DatabaseError) -> bool {
    const FEATURE_NOT_SUPPORTED: &str = "0A000";
    const INVALID_SQL_STATEMENT_NAME: &str = "26000";
    // The code alone says "not supported", and the message is in the server's language.
    let routine = || refusal.try_downcast_ref::<PgDatabaseError>()?.routine();
    code == INVALID_SQL_STATEMENT_NAME
        || code == FEATURE_NOT_SUPPORTED && routine() == Some("RevalidateCachedQuery")
}

/// When statements were found outdated last.
static OUTDATED: RwLock<Option<Instant>> = RwLock::new(None);

/// Has every connection of this process that is open now be closed before it is used again:
/// all of them have prepared statements that a migration may have outdated, and `sqlx` keeps
/// them.
pub fn forget_statements() {
    let mut outdated = OUTDATED.write().unwrap_or_else(PoisonError::into_inner);
    *outdated = Some(Instant::now());
}

/// Whether the statements of a connection of this age are to be forgotten.
#[must_use]
pub fn is_forgotten(age: Duration) -> bool {
    let outdated = *OUTDATED.read().unwrap_or_else(PoisonError::into_inner);
    outdated.is_some_and(|outdated| outdated.elapsed() <= age)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_of_before_are_forgotten_and_later_ones_are_not() {
        assert!(!is_forgotten(Duration::from_hours(1)));
        forget_statements();
        assert!(is_forgotten(Duration::from_hours(1)));
        assert!(!is_forgotten(Duration::ZERO));
    }

    #[test]
    fn a_pool_that_has_no_connection_has_one_later() {
        assert_eq!(meaning(&Error::PoolTimedOut), Meaning::Later);
        assert_eq!(meaning(&Error::RowNotFound), Meaning::Fault);
    }
}
