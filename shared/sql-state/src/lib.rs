//! What a failed statement means to the code that waits for it.
//!
//! PostgreSQL reports the reason as a SQLSTATE
//! (<https://www.postgresql.org/docs/current/errcodes-appendix.html>).

use std::{
    sync::{PoisonError, RwLock},
    time::{Duration, Instant},
};

use sqlx::{Error, error::DatabaseError, postgres::PgDatabaseError};

/// The classes of temporary errors: connection exceptions, logins that the server does not accept
/// (yet), transactions that failed because of others, insufficient resources, operator intervention
/// (which includes statement timeouts), and system errors.
const PASSING_CLASSES: [&str; 6] = ["08", "28", "40", "53", "57", "58"];

/// Temporary errors in classes that are not temporary as a whole.
const PASSING: [&str; 12] = [
    "25006", // a standby, before it is promoted or after it was demoted
    "25P03", // the connection was idle in its transaction for too long
    "25P04", // the transaction took too long
    "55006", // the object is in use
    "55P03", // a lock was not available in time
    // Before a deployment is complete, these do not exist yet, or may not be used yet:
    "3D000", // a database
    "3F000", // a schema
    "42P01", // a table
    "42703", // a column
    "42704", // a constraint
    "42883", // a function
    "42501", // anything at all
];

/// Errors of a transaction that waited for another one in a circle, or could not be put into an
/// order with others.
const GAVE_WAY: [&str; 2] = ["40P01", "40001"];

/// What a failed statement means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// A later attempt will succeed.
    Later,
    /// It will succeed at once on a connection that prepares it again, see [`forget_statements`].
    Outdated,
    /// It gave way to another transaction, and will succeed at once when all of its own transaction
    /// is run again.
    GaveWay,
    /// The statement or its input is wrong.
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
    } else if GAVE_WAY.contains(&code) {
        Meaning::GaveWay
    } else if PASSING.contains(&code) || PASSING_CLASSES.iter().any(|class| code.starts_with(class))
    {
        Meaning::Later
    } else {
        Meaning::Fault
    }
}

/// Whether what failed may be run again at once, all of its transaction: nothing of it has had an effect,
/// and it will succeed. Has its statements prepared again, if they are outdated.
#[must_use]
pub fn may_run_again(meaning: Meaning) -> bool {
    match meaning {
        Meaning::Outdated => {
            forget_statements();
            true
        }
        Meaning::GaveWay => true,
        Meaning::Later | Meaning::Fault => false,
    }
}

/// Whether the statement was prepared for a table that has changed since ("cached plan must not
/// change result type"), or on a connection that a pooler has given to another client.
fn is_outdated(code: &str, refusal: &dyn DatabaseError) -> bool {
    const FEATURE_NOT_SUPPORTED: &str = "0A000";
    const INVALID_SQL_STATEMENT_NAME: &str = "26000";
    // The code alone means "not supported", and the message is in the server's language.
    let routine = || refusal.try_downcast_ref::<PgDatabaseError>()?.routine();
    code == INVALID_SQL_STATEMENT_NAME
        || code == FEATURE_NOT_SUPPORTED && routine() == Some("RevalidateCachedQuery")
}

/// When statements were last found outdated.
#[derive(Debug)]
struct Outdated(RwLock<Option<Instant>>);

impl Outdated {
    const fn never() -> Self {
        Self(RwLock::new(None))
    }

    fn now(&self) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    fn includes(&self, age: Duration) -> bool {
        let outdated = *self.0.read().unwrap_or_else(PoisonError::into_inner);
        outdated.is_some_and(|outdated| outdated.elapsed() <= age)
    }
}

/// Of all connections of this process.
static OUTDATED: Outdated = Outdated::never();

/// Has every open connection of this process closed before it is used again: all of them have
/// prepared statements that a migration may have outdated, and `sqlx` keeps them.
pub fn forget_statements() {
    OUTDATED.now();
}

/// Whether a connection of this age has statements that are to be forgotten.
#[must_use]
pub fn is_forgotten(age: Duration) -> bool {
    OUTDATED.includes(age)
}

#[cfg(test)]
mod tests {
    use super::*;

    // Tests run side by side in one process: this one has a time of its own.
    #[test]
    fn only_earlier_connections_are_forgotten() {
        let outdated = Outdated::never();
        assert!(!outdated.includes(Duration::from_hours(1)));
        outdated.now();
        assert!(outdated.includes(Duration::from_hours(1)));
        assert!(!outdated.includes(Duration::ZERO));
    }

    #[test]
    fn what_is_over_at_once_is_told_from_what_takes_a_while() {
        assert!(may_run_again(Meaning::GaveWay));
        assert!(may_run_again(Meaning::Outdated));
        assert!(is_forgotten(Duration::from_hours(1)));
        assert!(!may_run_again(Meaning::Later));
        assert!(!may_run_again(Meaning::Fault));
    }

    #[test]
    fn an_exhausted_pool_is_a_temporary_error() {
        assert_eq!(meaning(&Error::PoolTimedOut), Meaning::Later);
        assert_eq!(meaning(&Error::RowNotFound), Meaning::Fault);
    }
}
