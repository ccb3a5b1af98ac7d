//! What is read of the table of patients, however many there are.

use std::time::Duration;

use axum::http::{Method, StatusCode};
use sqlx::PgPool;

use crate::fixtures::{Call, with, zoe};

/// Nothing has counted them yet: PostgreSQL does not know how rare an address is.
const PATIENTS: &str = "
    INSERT INTO patients.patient (id, version, name, email, date_of_birth, registered_date)
    SELECT gen_random_uuid(), 1, 'Zoe', n || '@clinic.example', '1990-01-01', '2024-01-01'
    FROM generate_series(1, $1) AS n";

/// How many rows were read so far, in whatever way. One connection: what it has not told yet, nobody
/// else knows.
async fn read(database: &PgPool) -> i64 {
    sqlx::query("SELECT pg_stat_force_next_flush()")
        .execute(database)
        .await
        .unwrap();
    sqlx::query_scalar(
        "SELECT coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0)
         FROM pg_stat_user_tables
         WHERE relid = 'patients.patient'::regclass",
    )
    .fetch_one(database)
    .await
    .unwrap()
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_registration_does_not_go_through_all_patients(database: PgPool) {
    let options = database.connect_options().as_ref().clone();
    let database = store::pool_with(options, 1, Duration::from_secs(30));
    sqlx::query(PATIENTS)
        .bind(2_000)
        .execute(&database)
        .await
        .unwrap();
    let before = read(&database).await;
    let call = Call::as_admin(&database);
    call.created(&with(zoe(), "email", "new@clinic.example"))
        .await;
    let read = read(&database).await - before;
    assert!(read < 10, "{read} of 2,000");
}

/// Statements that PostgreSQL still plans anew after it has seen them often.
async fn planned_each_time(database: &PgPool) -> Vec<String> {
    sqlx::query_scalar(
        "SELECT statement FROM pg_prepared_statements
         WHERE custom_plans > 5 AND statement !~ 'pg_prepared_statements'",
    )
    .fetch_all(database)
    .await
    .unwrap()
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn what_every_front_end_asks_for_is_not_planned_each_time(database: PgPool) {
    let options = database.connect_options().as_ref().clone();
    let database = store::pool_with(options, 1, Duration::from_secs(30));
    sqlx::query(PATIENTS)
        .bind(20_000)
        .execute(&database)
        .await
        .unwrap();
    sqlx::raw_sql("ANALYZE").execute(&database).await.unwrap();
    let call = Call::as_admin(&database);
    let id = call
        .created(&with(zoe(), "email", "first@clinic.example"))
        .await;
    for number in 0..20 {
        let email = format!("{number}@new.example");
        call.created(&with(zoe(), "email", email)).await;
        for path in [
            format!("/api/patients/{id}"),
            "/api/patients?limit=20".to_owned(),
            "/api/patients?limit=20&sort=name".to_owned(),
        ] {
            let answer = call.send(Method::GET, &path, None).await;
            assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        }
    }
    assert_eq!(planned_each_time(&database).await, Vec::<String>::new());
}
