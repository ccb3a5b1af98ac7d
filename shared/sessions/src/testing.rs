//! A logged-in user for tests.

use chrono::Utc;
use identity::testing::{CALLER, SESSION};
use sqlx::PgPool;
use store::Table;

use crate::{Lifetimes, Sessions};

/// Makes the claims of `as_caller(_, Role::Admin)` true for [`CALLER`]: an administrator with an
/// account in this database, which has no password, and with their session in this table.
///
/// # Panics
/// If either cannot be written.
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
    // Another test may already have started it.
    let begun = sessions
        .begin_as(SESSION, CALLER, Utc::now(), &lifetimes)
        .await;
    let state = sessions.check(SESSION, CALLER).await;
    assert!(matches!(state, Ok(Ok(()))), "{state:?}, {begun:?}");
}
