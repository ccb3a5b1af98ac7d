//! What is read of the table of patients, however many there are.

use std::time::Duration;

use sqlx::PgPool;

use crate::fixtures::{Call, with, zoe};

/// Nothing has counted them yet: PostgreSQL does not know how rare an address is.
const PATIENTS: &str = "
    INSERT INTO patients.patient (id, version, name, email, date_of_birth, registered_date)
    SELECT gen_random_uuid(), 1, 'Zoe', n || '@clinic.example', '1990-01-01', '2024-01-01'
    FROM generate_series(1, 2000) AS n";

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
    sqlx::query(PATIENTS).execute(&database).await.unwrap();
    let before = read(&database).await;
    let call = Call::as_admin(&database);
    call.created(&with(zoe(), "email", "new@clinic.example"))
        .await;
    let read = read(&database).await - before;
    assert!(read < 10, "{read} of 2,000");
}
