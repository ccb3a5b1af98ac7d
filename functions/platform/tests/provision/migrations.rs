//! A migration needs a table that others are using.

use std::{borrow::Cow, time::Duration};

use platform::provision::{Patience, run_migrations};
use schemas::Service;
use sqlx::{
    Connection as _, PgConnection, Postgres, Transaction,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::time::{sleep, timeout};

/// Migration 22 of billing takes `billing.invoice`, and then `billing.credit_note`, from everybody else.
const BEFORE: i64 = 21;

/// Of whoever waits for something that happens in any case.
const PATIENCE: Duration = Duration::from_mins(1);

/// Tries again at once, so often.
fn again(again: usize) -> Patience {
    Patience {
        lock: Duration::from_millis(100),
        pause: Duration::from_millis(10),
        again,
    }
}

/// Somebody who reads credit notes, in a database that lacks the migration.
async fn reader(connection: &mut PgConnection) -> Transaction<'_, Postgres> {
    let mut billing = Service::Billing.migrations();
    billing.create_schema("billing");
    billing.dangerous_set_table_name(Cow::Borrowed("billing._sqlx_migrations"));
    let before = billing.run_direct(Some(BEFORE), connection, false);
    before.await.unwrap();

    // Not who is told of a deadlock.
    sqlx::query("SET deadlock_timeout = '1h'")
        .execute(&mut *connection)
        .await
        .unwrap();
    let mut reading = connection.begin().await.unwrap();
    read(&mut reading, "credit_note").await;
    reading
}

async fn read(reading: &mut Transaction<'_, Postgres>, table: &'static str) {
    let lock = format!("LOCK TABLE billing.{table} IN ACCESS SHARE MODE");
    sqlx::query(sqlx::AssertSqlSafe(lock))
        .execute(&mut **reading)
        .await
        .unwrap();
}

/// Until so many transactions have waited for the reader, one after another.
async fn until_waited(database: &PgConnectOptions, transactions: usize) {
    let mut observer = PgConnection::connect_with(database).await.unwrap();
    let mut seen = Vec::new();
    let all_waited = async {
        while seen.len() < transactions {
            let waiting: Option<String> = sqlx::query_scalar(
                "SELECT xact_start::text FROM pg_stat_activity
                 WHERE datname = current_database() AND wait_event_type = 'Lock'",
            )
            .fetch_optional(&mut observer)
            .await
            .unwrap();
            seen.extend(waiting.filter(|since| !seen.contains(since)));
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, all_waited).await.expect("they wait");
    observer.close().await.unwrap();
}

#[sqlx::test(migrations = false)]
async fn it_is_tried_again_until_the_table_is_free(_: PgPoolOptions, database: PgConnectOptions) {
    let mut connection = PgConnection::connect_with(&database).await.unwrap();
    let reading = reader(&mut connection).await;
    let read = async {
        until_waited(&database, 3).await;
        reading.rollback().await.unwrap();
    };
    let (applied, ()) = tokio::join!(run_migrations(&database, again(1000)), read);
    applied.unwrap();
    connection.close().await.unwrap();
}

#[sqlx::test(migrations = false)]
async fn it_is_tried_again_after_a_deadlock(_: PgPoolOptions, database: PgConnectOptions) {
    let mut connection = PgConnection::connect_with(&database).await.unwrap();
    let mut reading = reader(&mut connection).await;
    let patience = Patience {
        lock: PATIENCE,
        ..again(1)
    };
    let read = async {
        until_waited(&database, 1).await;
        read(&mut reading, "invoice").await;
        reading.rollback().await.unwrap();
    };
    // It looks for a deadlock once, and not before the reader waits, too.
    let slowly = database.clone().options([("deadlock_timeout", "5s")]);
    let (applied, ()) = tokio::join!(run_migrations(&slowly, patience), read);
    applied.unwrap();
    connection.close().await.unwrap();
}

#[sqlx::test(migrations = false)]
async fn it_gives_up_in_the_end(_: PgPoolOptions, database: PgConnectOptions) {
    let mut connection = PgConnection::connect_with(&database).await.unwrap();
    let reading = reader(&mut connection).await;
    let refused = run_migrations(&database, again(2)).await.unwrap_err();
    let reason = format!("{refused:#}");
    assert!(
        reason.contains("billing") && reason.contains("lock timeout"),
        "{reason}"
    );
    reading.rollback().await.unwrap();

    // What it had begun is undone, and is done when somebody calls it again.
    run_migrations(&database, again(0)).await.unwrap();
    connection.close().await.unwrap();
}
