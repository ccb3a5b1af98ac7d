//! Somebody who is logged in, for tests.

use chrono::Utc;
use identity::testing::{CALLER, SESSION};
use sqlx::PgPool;
use store::Table;

use crate::{Lifetimes, Sessions};

/// Has [`CALLER`] be what `as_caller(_, Role::Admin)` says: an administrator with an account
/// in this database, which has no password, and with their session in this table.
///
/// # Panics
/// If one of the two does not take it.
pub async fn log_in_the_caller(database: &PgPool, sessions: Table) {
    sqlx::query(
        "INSERT INTO auth.user_account (id, email, role)
         VALUES ($1, 'caller@clinic.example', 'ADMIN')
         ON CONFLICT (id) DO NOTHING",
    )
    .bind(CALLER)
    .execute(database)
    .await
    .unwrap_or_else(|error| panic!("no account for the caller: {error}"));
    let lifetimes = Lifetimes {
        idle: std::time::Duration::from_mins(30),
        absolute: std::time::Duration::from_hours(12),
        grace: Lifetimes::GRACE,
    };
    let sessions = Sessions::new(sessions);
    // Another test may have begun it.
    let begun = sessions
        .begin_as(SESSION, CALLER, Utc::now(), &lifetimes)
        .await;
    let state = sessions.check(SESSION, CALLER).await;
    assert!(matches!(state, Ok(Ok(()))), "{state:?}, {begun:?}");
}
