//! Patients who were registered before billing knew addresses: it is told of each of them once, some at
//! a time.

use std::time::{Duration, Instant};

use axum::http::{Method, StatusCode};
use contracts::billing::v1::UpdateBillingAccountRequest;
use patients::relay_outbox::relay_outbox;
use prost::Message as _;
use sqlx::PgPool;
use uuid::Uuid;

use crate::{
    fixtures::{Call, delivery, with, zoe},
    relay::{execute, register, relay},
};

/// Those who were there before the migration, which is as if it came now.
async fn were_there(database: &PgPool, many: i32) {
    let register = format!(
        "INSERT INTO patients.patient
             (id, version, name, email, address, date_of_birth, registered_date, indexed_with)
         SELECT uuidv7(), 7, 'Zoë ' || place, place || '@clinic.example', place || ' Harbour Street',
                '1983-11-14', now(), 1000
         FROM generate_series(1, {many}) AS place"
    );
    execute(database, &register).await;
    let migration = include_str!("../../migrations/0023_billing_backfill.sql");
    let insert = migration.split("INSERT INTO").nth(1).unwrap();
    execute(database, &format!("INSERT INTO{insert}")).await;
}

async fn told(database: &PgPool) -> Vec<UpdateBillingAccountRequest> {
    let payloads: Vec<Vec<u8>> = sqlx::query_scalar(
        "SELECT payload FROM patients.outbox WHERE kind = 'BILLING_UPDATE' ORDER BY sequence",
    )
    .fetch_all(database)
    .await
    .unwrap();
    let told = payloads.iter();
    told.map(|payload| UpdateBillingAccountRequest::decode(&payload[..]).unwrap())
        .collect()
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn billing_is_told_of_everybody_who_was_there_once(database: PgPool) {
    were_there(&database, 130).await;
    // Billing knows everything of whoever comes later.
    let later = register(&database, 1).await;
    execute(&database, "DELETE FROM patients.outbox").await;

    // The billing service is down: no more is put on top of what waits.
    for _ in 0..3 {
        let relayed = relay(&database, &delivery()).await;
        assert_eq!((relayed.delivered, relayed.backlog), (0, 100));
    }
    let mut all = told(&database).await;
    execute(&database, "DELETE FROM patients.outbox").await;
    relay(&database, &delivery()).await;
    all.extend(told(&database).await);
    assert_eq!(all.len(), 130);
    for (place, request) in (1..).zip(&all) {
        assert_eq!(request.name, format!("Zoë {place}"));
        assert_eq!(request.email, format!("{place}@clinic.example"));
        assert_eq!(request.address, format!("{place} Harbour Street"));
        assert_eq!(request.patient_version, 7);
        assert_ne!(request.patient_id, later[0].to_string());
    }

    execute(&database, "DELETE FROM patients.outbox").await;
    relay(&database, &delivery()).await;
    assert_eq!(told(&database).await, []);
    let left: i64 = sqlx::query_scalar("SELECT count(*) FROM patients.billing_backfill")
        .fetch_one(&database)
        .await
        .unwrap();
    assert_eq!(left, 0);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_registration_waits_for_nobody_who_is_told_of(database: PgPool) {
    were_there(&database, 3).await;
    let mut telling = database.begin().await.unwrap();
    sqlx::query("SELECT FROM patients.billing_backfill FOR UPDATE")
        .execute(&mut *telling)
        .await
        .unwrap();
    sqlx::query("SELECT FROM patients.patient FOR KEY SHARE")
        .execute(&mut *telling)
        .await
        .unwrap();
    register(&database, 1).await;
    // Another run leaves them to the first.
    relay(&database, &delivery()).await;
    assert_eq!(told(&database).await, []);
    telling.rollback().await.unwrap();
    relay(&database, &delivery()).await;
    assert_eq!(told(&database).await.len(), 3);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn who_is_erased_meanwhile_is_not_told_of(database: PgPool) {
    were_there(&database, 2).await;
    let erased: Uuid = sqlx::query_scalar(
        "DELETE FROM patients.patient WHERE id = (SELECT id FROM patients.patient ORDER BY id LIMIT 1)
         RETURNING id",
    )
    .fetch_one(&database)
    .await
    .unwrap();
    relay(&database, &delivery()).await;
    let told = told(&database).await;
    assert_eq!(told.len(), 1);
    assert_ne!(told[0].patient_id, erased.to_string());
}

async fn count(database: &PgPool, what: &'static str) -> i64 {
    sqlx::query_scalar(what).fetch_one(database).await.unwrap()
}

/// Nothing can be written for billing as long as this holds.
async fn refuse_updates(database: &PgPool, condition: &str) {
    let refuse = format!(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
             BEGIN
                 IF {condition} THEN RAISE EXCEPTION 'not now'; END IF;
                 RETURN NEW;
             END
         $$;
         CREATE TRIGGER refuse BEFORE INSERT ON patients.outbox
             FOR EACH ROW WHEN (NEW.kind = 'BILLING_UPDATE') EXECUTE FUNCTION refuse()"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(refuse))
        .execute(database)
        .await
        .unwrap();
}

const NOT_SEARCHABLE: &str = "SELECT count(*) FROM patients.patient WHERE indexed_with = 0";

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn whoever_is_told_of_is_searchable_first(database: PgPool) {
    were_there(&database, 3).await;
    execute(&database, "UPDATE patients.patient SET indexed_with = 0").await;
    let not_all = format!("({NOT_SEARCHABLE}) > 0");
    refuse_updates(&database, &not_all).await;
    relay(&database, &delivery()).await;
    assert_eq!(told(&database).await.len(), 3);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_failure_to_tell_billing_holds_up_nothing_else(database: PgPool) {
    let keyed = Call {
        key: Some("a-key"),
        ..Call::as_admin(&database)
    };
    keyed.created(&zoe()).await;
    were_there(&database, 3).await;
    execute(&database, "UPDATE patients.patient SET indexed_with = 0").await;
    execute(
        &database,
        "UPDATE patients.idempotency_key SET created_at = now() - interval '2 days'",
    )
    .await;
    refuse_updates(&database, "true").await;
    let until = Instant::now() + Duration::from_secs(20);
    let failed = relay_outbox(&database, &delivery(), until).await;
    assert!(failed.unwrap_err().to_string().contains("not now"));
    assert_eq!(count(&database, NOT_SEARCHABLE).await, 0);
    let keys = "SELECT count(*) FROM patients.idempotency_key";
    assert_eq!(count(&database, keys).await, 0);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn nobody_waits_for_what_is_stuck(database: PgPool) {
    were_there(&database, 130).await;
    execute(
        &database,
        "INSERT INTO patients.outbox
             (patient_id, message_id, kind, payload, traceparent, attempts, not_before)
         SELECT gen_random_uuid(), gen_random_uuid(), 'BILLING_CLOSURE', '', '', 5,
                now() + interval '1 hour'
         FROM generate_series(1, 100)",
    )
    .await;
    let relayed = relay(&database, &delivery()).await;
    assert_eq!((relayed.backlog, relayed.stuck), (200, 100));
    assert_eq!(told(&database).await.len(), 100);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_change_waits_for_nobody_who_is_told_of(database: PgPool) {
    let call = Call::as_admin(&database);
    let patient = call.created(&zoe()).await;
    let mut telling = database.begin().await.unwrap();
    sqlx::query("SELECT FROM patients.patient FOR KEY SHARE")
        .execute(&mut *telling)
        .await
        .unwrap();
    let path = format!("/api/patients/{patient}");
    let changed = with(zoe(), "name", "Zoë");
    let change = call.send(Method::PUT, &path, Some(&changed));
    let changed = tokio::time::timeout(Duration::from_secs(10), change).await;
    assert_eq!(changed.expect("no wait").status, StatusCode::OK);
    let delete = call.send(Method::DELETE, &path, None);
    let deleted = tokio::time::timeout(Duration::from_secs(10), delete).await;
    assert_eq!(deleted.expect("no wait").status, StatusCode::NO_CONTENT);
    telling.rollback().await.unwrap();
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn who_is_being_erased_is_left_to_the_next_run(database: PgPool) {
    were_there(&database, 2).await;
    let mut erasing = database.begin().await.unwrap();
    sqlx::query("SELECT FROM patients.patient FOR UPDATE")
        .execute(&mut *erasing)
        .await
        .unwrap();
    let options = database.connect_options().as_ref().clone();
    let pool = store::pool_of(options.options([("lock_timeout", "100ms")]));
    relay(&pool, &delivery()).await;
    assert_eq!(told(&database).await, []);
    erasing.rollback().await.unwrap();
    relay(&pool, &delivery()).await;
    assert_eq!(told(&database).await.len(), 2);
}
