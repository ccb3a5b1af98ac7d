//! A repeated request has one effect and gets the first response again.

use std::time::Duration;

use axum::http::{Method, StatusCode, header};
use identity::Role;
use sqlx::{PgPool, migrate::Migrator};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::fixtures::{Answer, Call, outbox_kinds, with, zoe};

fn keyed<'a>(database: &'a PgPool, key: &'a str) -> Call<'a> {
    Call {
        key: Some(key),
        ..Call::as_admin(database)
    }
}

async fn patients(database: &PgPool) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM patients.patient")
        .fetch_one(database)
        .await
        .unwrap()
}

async fn stored_answers(database: &PgPool) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM patients.idempotency_key")
        .fetch_one(database)
        .await
        .unwrap()
}

fn is_replayed(answer: &Answer) -> bool {
    let replayed = answer.headers.get("idempotency-replayed");
    replayed.is_some_and(|value| value == "true")
}

#[track_caller]
fn assert_same(again: &Answer, first: &Answer) {
    assert!(!is_replayed(first), "{first:?}");
    assert!(is_replayed(again), "{again:?}");
    assert_eq!(again.status, first.status);
    assert_eq!(again.bytes, first.bytes);
    for name in [header::CONTENT_TYPE, header::ETAG, header::LOCATION] {
        assert_eq!(again.headers.get(&name), first.headers.get(&name), "{name}");
    }
}

#[track_caller]
fn assert_problem(answer: &Answer, status: StatusCode, name: &str) {
    assert_eq!(answer.status, status, "{answer:?}");
    let kind = format!("urn:patient-management:problem:{name}");
    assert_eq!(answer.body["type"], kind);
}

/// Returns when the database meets the condition.
async fn until(database: &PgPool, condition: &str) {
    let met = async {
        let sql = format!("SELECT {condition}");
        while !sqlx::query_scalar::<_, bool>(sqlx::AssertSqlSafe(sql.clone()))
            .fetch_one(database)
            .await
            .unwrap()
        {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), met)
        .await
        .unwrap_or_else(|_| panic!("never: {condition}"));
}

/// Whether a request is waiting for a lock in the database.
const WAITS: &str = "EXISTS (SELECT FROM pg_stat_activity
     WHERE datname = current_database() AND wait_event_type = 'Lock')";

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_repeated_registration_creates_one_patient(database: PgPool) {
    // A name may consist of any characters: it is stored and returned byte for byte.
    let odd = "Zoé \u{10ffff} 葛\u{e0100} 🏳️‍🌈 Ωz";
    let patient = with(zoe(), "name", odd);
    let call = keyed(&database, "8e03978e-40d5-43e8-bc93-6894a57f9324");
    let first = call.create(&patient).await;
    assert_eq!(first.status, StatusCode::CREATED, "{}", first.body);
    assert_eq!(first.body["name"], odd);
    assert!(first.etag.is_some() && first.location.is_some());

    assert_same(&call.create(&patient).await, &first);
    let quoted = keyed(&database, "\"8e03978e-40d5-43e8-bc93-6894a57f9324\"");
    assert_same(&quoted.create(&patient).await, &first);
    assert_eq!(patients(&database).await, 1);
    let waiting = ["BILLING_ACCOUNT", "PATIENT_EVENT"];
    assert_eq!(outbox_kinds(&database).await, waiting);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn without_a_key_no_response_is_stored(database: PgPool) {
    let admin = Call::as_admin(&database);
    admin.created(&zoe()).await;
    assert_eq!(admin.create(&zoe()).await.status, StatusCode::CONFLICT);
    assert_eq!(stored_answers(&database).await, 0);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn of_concurrent_registrations_with_one_key_only_one_has_an_effect(database: PgPool) {
    // Makes the first request stop midway until all others have been answered.
    let mut holder = database.begin().await.unwrap();
    sqlx::query("LOCK TABLE patients.outbox")
        .execute(&mut *holder)
        .await
        .unwrap();
    let mut attempts = JoinSet::new();
    for _ in 0..20 {
        let database = database.clone();
        attempts.spawn(async move { keyed(&database, "k").create(&zoe()).await });
    }
    let others = async {
        for _ in 0..19 {
            let answer = attempts.join_next().await.unwrap().unwrap();
            assert_problem(&answer, StatusCode::CONFLICT, "request-in-progress");
            assert_eq!(answer.headers[header::RETRY_AFTER], "1");
        }
    };
    tokio::time::timeout(Duration::from_secs(20), others)
        .await
        .expect("the others must not wait for the first");
    holder.rollback().await.unwrap();

    let first = attempts.join_next().await.unwrap().unwrap();
    assert_eq!(first.status, StatusCode::CREATED, "{}", first.body);
    assert_eq!(patients(&database).await, 1);
    assert_same(&keyed(&database, "k").create(&zoe()).await, &first);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_key_belongs_to_one_request(database: PgPool) {
    let call = keyed(&database, "k");
    let path = format!("/api/patients/{}", call.created(&zoe()).await);
    let other = with(zoe(), "email", "other@clinic.example");
    let refused = call.create(&other).await;
    assert_problem(
        &refused,
        StatusCode::UNPROCESSABLE_ENTITY,
        "idempotency-key-reused",
    );
    assert_eq!(patients(&database).await, 1);
    // The first response is still stored.
    assert!(is_replayed(&call.create(&zoe()).await));

    // A different precondition makes a different request.
    let update = |tag| Call {
        if_match: Some(tag),
        ..keyed(&database, "k")
    };
    let moved = with(zoe(), "address", "2 Side St");
    let updated = update("\"1\"").send(Method::PUT, &path, Some(&moved));
    assert_eq!(updated.await.status, StatusCode::OK);
    let refused = update("\"2\"").send(Method::PUT, &path, Some(&moved));
    assert_problem(
        &refused.await,
        StatusCode::UNPROCESSABLE_ENTITY,
        "idempotency-key-reused",
    );
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_key_belongs_to_one_user_and_one_route(database: PgPool) {
    let call = keyed(&database, "k");
    let path = format!("/api/patients/{}", call.created(&zoe()).await);
    let updated = call.send(Method::PUT, &path, Some(&zoe())).await;
    assert_eq!(updated.status, StatusCode::OK);
    assert!(!is_replayed(&updated));

    let somebody_else = Call {
        user: Uuid::now_v7(),
        ..call
    };
    let answer = somebody_else.create(&zoe()).await;
    assert_problem(&answer, StatusCode::CONFLICT, "conflict");
    assert!(!is_replayed(&answer));
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_caller_without_permission_gets_no_stored_response(database: PgPool) {
    let call = keyed(&database, "k");
    call.created(&zoe()).await;
    let demoted = Call {
        role: Role::Auditor,
        ..call
    };
    let answer = demoted.create(&zoe()).await;
    assert_problem(&answer, StatusCode::FORBIDDEN, "forbidden");
    assert!(!String::from_utf8_lossy(&answer.bytes).contains("Zo"));
    // And the rejection does not replace the stored response.
    assert!(is_replayed(&call.create(&zoe()).await));
}

/// A version from before stored responses named their subject may run for a while longer.
#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_stored_response_of_nobody_knows_whom_is_withheld(database: PgPool) {
    let call = Call {
        role: Role::Receptionist,
        ..keyed(&database, "k")
    };
    call.created(&zoe()).await;
    assert!(is_replayed(&call.create(&zoe()).await));
    sqlx::query("UPDATE patients.idempotency_key SET subject = NULL")
        .execute(&database)
        .await
        .unwrap();
    assert_problem(
        &call.create(&zoe()).await,
        StatusCode::FORBIDDEN,
        "forbidden",
    );
}

#[sqlx::test(migrations = false)]
async fn the_migration_finds_the_subject_of_stored_registrations(database: PgPool) {
    let all = schemas::Service::Patients.migrations();
    let before = all.iter().filter(|migration| migration.version < 9);
    let before = Migrator::with_migrations(before.cloned().collect());
    before.run(&database).await.unwrap();
    let patient = Uuid::now_v7();
    for (key, location) in [
        ("\\x01", Some(format!("patients/{patient}"))),
        ("\\x02", None),
    ] {
        sqlx::query(
            "INSERT INTO patients.idempotency_key (id, fingerprint, status, location, body)
             VALUES (sha256($1::bytea), sha256(''), 200, $2, '')",
        )
        .bind(key.as_bytes())
        .bind(location)
        .execute(&database)
        .await
        .unwrap();
    }

    all.run(&database).await.unwrap();
    let subjects: Vec<Option<Uuid>> = sqlx::query_scalar(
        "SELECT subject FROM patients.idempotency_key ORDER BY location NULLS LAST",
    )
    .fetch_all(&database)
    .await
    .unwrap();
    assert_eq!(subjects, [Some(patient), None]);
}

/// The permission is checked first: whoever may not register patients learns nothing about keys.
#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_caller_without_permission_is_not_told_of_an_invalid_key(database: PgPool) {
    let auditor = Call {
        role: Role::Auditor,
        ..keyed(&database, "\"open")
    };
    let answer = auditor.create(&zoe()).await;
    assert_problem(&answer, StatusCode::FORBIDDEN, "forbidden");
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn repeated_updates_and_deletions_have_one_effect(database: PgPool) {
    let path = format!(
        "/api/patients/{}",
        Call::as_admin(&database).created(&zoe()).await
    );
    let call = Call {
        if_match: Some("\"1\""),
        ..keyed(&database, "put")
    };
    let moved = with(zoe(), "address", "2 Side St");
    let first = call.send(Method::PUT, &path, Some(&moved)).await;
    assert_eq!(first.status, StatusCode::OK);
    assert_same(&call.send(Method::PUT, &path, Some(&moved)).await, &first);
    let read = Call::as_admin(&database).send(Method::GET, &path, None);
    assert_eq!(read.await.body["version"], 2);

    let call = keyed(&database, "delete");
    let first = call.send(Method::DELETE, &path, None).await;
    assert_eq!(first.status, StatusCode::NO_CONTENT);
    assert_same(&call.send(Method::DELETE, &path, None).await, &first);
    let without_key = Call::as_admin(&database).send(Method::DELETE, &path, None);
    assert_eq!(without_key.await.status, StatusCode::NOT_FOUND);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_rejection_leaves_the_key_free(database: PgPool) {
    let first = Call::as_admin(&database);
    let path = format!("/api/patients/{}", first.created(&zoe()).await);
    let call = keyed(&database, "k");
    let refused = call.create(&zoe()).await;
    assert_problem(&refused, StatusCode::CONFLICT, "conflict");
    // Both the corrected request, and the same request once it is possible.
    let max = with(zoe(), "email", "max@clinic.example");
    let registered = call.create(&max).await;
    assert_eq!(registered.status, StatusCode::CREATED);
    assert_same(&call.create(&max).await, &registered);

    let other = with(zoe(), "address", "2 Side St");
    let stale = Call {
        if_match: Some("\"7\""),
        ..keyed(&database, "l")
    };
    let current = Call {
        if_match: Some("\"1\""),
        ..stale
    };
    let taken = with(zoe(), "email", "max@clinic.example");
    for (call, body, status, name) in [
        (
            stale,
            &other,
            StatusCode::PRECONDITION_FAILED,
            "precondition-failed",
        ),
        (current, &taken, StatusCode::CONFLICT, "conflict"),
    ] {
        let refused = call.send(Method::PUT, &path, Some(body)).await;
        assert_problem(&refused, status, name);
    }
    let changed = current.send(Method::PUT, &path, Some(&other)).await;
    assert_eq!(changed.status, StatusCode::OK, "{}", changed.body);
    let again = current.send(Method::PUT, &path, Some(&other)).await;
    assert_same(&again, &changed);

    let stale = stale.send(Method::DELETE, &path, None).await;
    assert_problem(
        &stale,
        StatusCode::PRECONDITION_FAILED,
        "precondition-failed",
    );
    let gone = call.send(Method::DELETE, &path, None).await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT);
    for _ in 0..2 {
        let missing = keyed(&database, "m")
            .send(Method::DELETE, &path, None)
            .await;
        assert_problem(&missing, StatusCode::NOT_FOUND, "deleted");
        assert!(!is_replayed(&missing));
    }
    assert_same(&call.send(Method::DELETE, &path, None).await, &gone);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn the_same_request_may_be_spelled_differently(database: PgPool) {
    let call = keyed(&database, "k");
    let one = r#"{"name":"Zoë","email":"zoe@clinic.example","address":"1","dateOfBirth":"2000-02-29","version":1}"#;
    let other = "{ \"version\": 1,\n \"dateOfBirth\": \"2000-02-29\", \"address\": \"1\",
        \"email\": \"zoe@clinic.example\", \"name\": \"Zo\\u00eb\" }";
    let post = async |body: &str| {
        let body = Some(body.to_owned());
        call.send_text(Method::POST, "/api/patients", body).await
    };
    let first = post(one).await;
    assert_eq!(first.status, StatusCode::CREATED, "{}", first.body);
    assert_same(&post(other).await, &first);
    for different in [
        one.replace("Zoë", "Zoé"),
        one.replace(":1}", ":1.0}"),
        one.replace(",\"version\":1", ""),
    ] {
        let refused = post(&different).await;
        assert_problem(
            &refused,
            StatusCode::UNPROCESSABLE_ENTITY,
            "idempotency-key-reused",
        );
    }

    let id = first.body["id"].as_str().unwrap();
    let path = format!("/api/patients/{id}");
    let changed = call
        .send_text(Method::PUT, &path, Some(one.to_owned()))
        .await;
    assert_eq!(changed.status, StatusCode::OK, "{}", changed.body);
    let shouted = format!("/api/patients/{}", id.to_uppercase());
    let again = call
        .send_text(Method::PUT, &shouted, Some(other.to_owned()))
        .await;
    assert_same(&again, &changed);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn an_invalid_request_leaves_the_key_free(database: PgPool) {
    let call = keyed(&database, "k");
    let invalid = with(zoe(), "name", "");
    assert_eq!(call.create(&invalid).await.status, StatusCode::BAD_REQUEST);
    let huge = with(zoe(), "address", "x".repeat(64 * 1024));
    let refused = call.create(&huge).await;
    assert_problem(&refused, StatusCode::PAYLOAD_TOO_LARGE, "body-too-large");
    let broken = call.send_text(Method::POST, "/api/patients", Some("{".into()));
    assert_eq!(broken.await.status, StatusCode::BAD_REQUEST);
    assert_eq!(stored_answers(&database).await, 0);
    call.created(&zoe()).await;
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn an_invalid_key_is_rejected(database: PgPool) {
    for key in ["", "\"\"", "\"open", &"k".repeat(256)] {
        let refused = keyed(&database, key).create(&zoe()).await;
        assert_problem(&refused, StatusCode::BAD_REQUEST, "invalid-input");
        let detail = refused.body["detail"].as_str().unwrap();
        assert!(detail.contains("Idempotency-Key"), "{detail}");
    }
    assert_eq!(patients(&database).await, 0);
    assert_eq!(
        keyed(&database, &"k".repeat(255))
            .create(&zoe())
            .await
            .status,
        StatusCode::CREATED
    );
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_key_expires_after_24_hours(database: PgPool) {
    let call = keyed(&database, "k");
    let path = format!("/api/patients/{}", call.created(&zoe()).await);
    let older = |hours: f64| {
        sqlx::query(
            "UPDATE patients.idempotency_key SET created_at = now() - make_interval(secs => $1)",
        )
        .bind(hours * 3600.0)
        .execute(&database)
    };
    older(23.9).await.unwrap();
    assert!(is_replayed(&call.create(&zoe()).await));
    older(24.1).await.unwrap();
    let refused = call.create(&zoe()).await;
    assert_problem(&refused, StatusCode::CONFLICT, "conflict");

    // A success replaces the old response.
    Call::as_admin(&database)
        .send(Method::DELETE, &path, None)
        .await;
    let created = call.create(&zoe()).await;
    assert_eq!(created.status, StatusCode::CREATED);
    assert_same(&call.create(&zoe()).await, &created);
    assert_eq!(stored_answers(&database).await, 1);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn expired_responses_are_deleted(database: PgPool) {
    keyed(&database, "old").created(&zoe()).await;
    sqlx::query("UPDATE patients.idempotency_key SET created_at = now() - interval '25 hours'")
        .execute(&database)
        .await
        .unwrap();
    let other = with(zoe(), "email", "other@clinic.example");
    keyed(&database, "new").created(&other).await;
    assert_eq!(idempotency::prune(&database, "patients").await.unwrap(), 1);
    assert_eq!(stored_answers(&database).await, 1);
    assert!(is_replayed(&keyed(&database, "new").create(&other).await));
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_killed_process_leaves_the_key_free(database: PgPool) {
    let id = Call::as_admin(&database).created(&zoe()).await;
    let path = format!("/api/patients/{id}");
    // Another transaction holds the record, so that the request stops midway.
    let mut holder = database.begin().await.unwrap();
    sqlx::query("SELECT FROM patients.patient FOR UPDATE")
        .execute(&mut *holder)
        .await
        .unwrap();
    let update = || {
        let (database, path) = (database.clone(), path.clone());
        async move {
            keyed(&database, "k")
                .send(Method::PUT, &path, Some(&zoe()))
                .await
        }
    };
    let first = tokio::spawn(update());
    until(&database, WAITS).await;
    let meanwhile = update().await;
    assert_problem(&meanwhile, StatusCode::CONFLICT, "request-in-progress");

    sqlx::query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE datname = current_database() AND wait_event_type = 'Lock'",
    )
    .execute(&database)
    .await
    .unwrap();
    let first = first.await.unwrap();
    assert_problem(&first, StatusCode::SERVICE_UNAVAILABLE, "unavailable");
    holder.rollback().await.unwrap();

    let again = update().await;
    assert_eq!(again.status, StatusCode::OK, "{}", again.body);
    assert_eq!(again.body["version"], 2);
    assert!(!is_replayed(&again));
    assert_same(&update().await, &again);
}

/// The work is a task of its own, so a client that disconnects makes no difference.
#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn an_abandoned_request_has_its_effect_once(database: PgPool) {
    let mut holder = database.begin().await.unwrap();
    sqlx::query("LOCK TABLE patients.outbox")
        .execute(&mut *holder)
        .await
        .unwrap();
    let request = {
        let database = database.clone();
        tokio::spawn(async move { keyed(&database, "k").create(&zoe()).await })
    };
    until(&database, WAITS).await;
    request.abort();
    assert!(request.await.unwrap_err().is_cancelled());
    let meanwhile = keyed(&database, "k").create(&zoe()).await;
    assert_problem(&meanwhile, StatusCode::CONFLICT, "request-in-progress");
    holder.rollback().await.unwrap();
    until(&database, "EXISTS (SELECT FROM patients.patient)").await;
    assert!(is_replayed(&keyed(&database, "k").create(&zoe()).await));
    assert_eq!(patients(&database).await, 1);
}
