//! What a failed statement means to the caller.

use tonic::Status;

/// SQLSTATE classes of a database that cannot answer right now: connection, resources,
/// operator intervention, serialisation, and a login that the server does not accept
/// (yet) (<https://www.postgresql.org/docs/current/errcodes-appendix.html>).
const PASSING_CLASSES: [&str; 5] = ["08", "53", "57", "40", "28"];

/// SQLSTATEs that pass: a lock that was not to be had in time, and a database, a schema
/// or a table that is not there, or may not be used, before a deployment is complete.
const PASSING: [&str; 5] = ["55P03", "3D000", "3F000", "42P01", "42501"];

/// Logs why the statement failed, and tells the caller whether trying again helps.
pub(crate) fn failed(error: &sqlx::Error) -> Status {
    if is_passing(error) {
        tracing::warn!(cause = %error, "the database cannot answer");
        Status::unavailable("the billing service's database cannot answer right now")
    } else {
        tracing::error!(cause = %error, "a statement failed");
        Status::internal("the billing service failed; its log says why")
    }
}

fn is_passing(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::Io(_)
        | sqlx::Error::Tls(_) => true,
        sqlx::Error::Database(refusal) => refusal.code().is_some_and(|code| {
            PASSING.contains(&code.as_ref())
                || PASSING_CLASSES.iter().any(|class| code.starts_with(class))
        }),
        _ => false,
    }
}
