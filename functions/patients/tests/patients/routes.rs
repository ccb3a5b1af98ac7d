//! What the routes return, and what they leave in the outbox.

use std::time::{Duration, Instant};

use axum::{
    body::Body,
    http::{Method, Request, StatusCode, header},
};
use chrono::{DateTime, Utc};
use identity::{Role, testing::as_caller};
use patients::relay_outbox::relay_outbox;
use serde_json::json;
use sqlx::PgPool;
use tower::ServiceExt as _;
use uuid::Uuid;

use crate::fixtures::{Call, answer, delivery, log_in_the_caller, outbox_kinds, routes, with, zoe};

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_patient_is_created_read_updated_and_deleted(database: PgPool) {
    let admin = Call::as_admin(&database);
    let created = admin.create(&zoe()).await;
    assert_eq!(created.status, StatusCode::CREATED);
    assert_eq!(created.etag.as_deref(), Some("\"1\""));
    let id = created.body["id"].as_str().unwrap();
    assert_eq!(created.location, Some(format!("patients/{id}")));
    for field in ["name", "email", "address", "dateOfBirth", "registeredDate"] {
        assert_eq!(created.body[field], zoe()[field]);
    }

    let path = format!("/api/patients/{id}");
    let read = admin.send(Method::GET, &path, None).await;
    assert_eq!((read.status, read.body), (StatusCode::OK, created.body));

    let moved = with(zoe(), "address", "2 Side St");
    let updated = admin.send(Method::PUT, &path, Some(&moved)).await;
    assert_eq!(updated.status, StatusCode::OK);
    assert_eq!(updated.etag.as_deref(), Some("\"2\""));
    assert_eq!(updated.body["address"], "2 Side St");

    let deleted = admin.send(Method::DELETE, &path, None).await;
    assert_eq!(deleted.status, StatusCode::NO_CONTENT);
    for method in [Method::GET, Method::DELETE] {
        let gone = admin.send(method, &path, None).await;
        assert_eq!(gone.status, StatusCode::NOT_FOUND);
        assert_eq!(gone.body["detail"], "Patient not found");
    }
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn undelivered_messages_wait_in_order(database: PgPool) {
    let admin = Call::as_admin(&database);
    let path = format!("/api/patients/{}", admin.created(&zoe()).await);
    admin.send(Method::PUT, &path, Some(&zoe())).await;
    let moved = with(zoe(), "address", "2 Side St");
    admin.send(Method::PUT, &path, Some(&moved)).await;
    admin.send(Method::DELETE, &path, None).await;

    let waiting = [
        "BILLING_ACCOUNT",
        "PATIENT_EVENT",
        // Nothing that an invoice says has changed.
        "PATIENT_EVENT",
        "BILLING_UPDATE",
        "PATIENT_EVENT",
        "BILLING_CLOSURE",
        "PATIENT_EVENT",
    ];
    assert_eq!(outbox_kinds(&database).await, waiting);

    let relayed = relay_outbox(
        &database,
        &delivery(),
        Instant::now() + Duration::from_secs(20),
    )
    .await
    .unwrap();
    assert_eq!((relayed.delivered, relayed.backlog), (0, 7));
    assert_eq!(outbox_kinds(&database).await, waiting);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_rejected_change_is_not_announced(database: PgPool) {
    let admin = Call::as_admin(&database);
    let path = format!("/api/patients/{}", admin.created(&zoe()).await);
    sqlx::query("DELETE FROM patients.outbox")
        .execute(&database)
        .await
        .unwrap();

    let invalid = with(zoe(), "name", "");
    let stale = Call {
        if_match: Some("\"7\""),
        ..Call::as_admin(&database)
    };
    assert_eq!(admin.create(&zoe()).await.status, StatusCode::CONFLICT);
    assert_eq!(admin.create(&invalid).await.status, StatusCode::BAD_REQUEST);
    for (method, body) in [(Method::PUT, Some(zoe())), (Method::DELETE, None)] {
        let refused = stale.send(method, &path, body.as_ref()).await;
        assert_eq!(refused.status, StatusCode::PRECONDITION_FAILED);
    }

    assert!(outbox_kinds(&database).await.is_empty());
    let patient = admin.send(Method::GET, &path, None).await;
    assert_eq!(patient.body["version"], 1);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn one_mailbox_is_one_patient_however_it_is_written(database: PgPool) {
    let admin = Call::as_admin(&database);
    admin.created(&zoe()).await;
    let shouted = with(zoe(), "email", "ZOE@Clinic.Example");
    let refused = admin.create(&shouted).await;
    assert_eq!(refused.status, StatusCode::CONFLICT);
    assert_eq!(
        refused.body["errors"]["email"],
        "Email address already exists"
    );

    let other = with(zoe(), "email", "other@clinic.example");
    let other = format!("/api/patients/{}", admin.created(&other).await);
    let refused = admin.send(Method::PUT, &other, Some(&zoe())).await;
    assert_eq!(refused.status, StatusCode::CONFLICT);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn of_concurrent_registrations_with_one_mailbox_only_one_succeeds(database: PgPool) {
    let attempts = (0..12).map(|_| {
        let database = database.clone();
        tokio::spawn(async move { Call::as_admin(&database).create(&zoe()).await.status })
    });
    let mut statuses = Vec::new();
    for attempt in attempts.collect::<Vec<_>>() {
        statuses.push(attempt.await.unwrap());
    }
    statuses.sort_unstable();
    assert_eq!(statuses[0], StatusCode::CREATED);
    assert_eq!(statuses[1..], [StatusCode::CONFLICT; 11]);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn of_concurrent_updates_of_one_version_only_one_succeeds(database: PgPool) {
    let path = format!(
        "/api/patients/{}",
        Call::as_admin(&database).created(&zoe()).await
    );
    let attempts = (0..8).map(|_| {
        let (database, path) = (database.clone(), path.clone());
        tokio::spawn(async move {
            let call = Call {
                if_match: Some("\"1\""),
                ..Call::as_admin(&database)
            };
            call.send(Method::PUT, &path, Some(&zoe())).await.status
        })
    });
    let mut statuses = Vec::new();
    for attempt in attempts.collect::<Vec<_>>() {
        statuses.push(attempt.await.unwrap());
    }
    statuses.sort_unstable();
    assert_eq!(statuses[0], StatusCode::OK);
    assert_eq!(statuses[1..], [StatusCode::PRECONDITION_FAILED; 7]);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn registration_names_all_invalid_fields_at_once(database: PgPool) {
    let admin = Call::as_admin(&database);
    let refused = admin.create(&json!({})).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    assert_eq!(
        refused.body["errors"],
        json!({
            "name": "Name is required",
            "email": "Email is required",
            "address": "Address is required",
            "dateOfBirth": "Date of birth is required",
        })
    );

    let refused = admin.create(&with(zoe(), "name", 42)).await;
    assert_eq!(
        refused.body["errors"],
        json!({ "name": "Must be a string" })
    );
    let refused = admin.create(&json!([])).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    let refused = admin
        .create(&with(zoe(), "address", "x".repeat(70_000)))
        .await;
    assert_eq!(refused.status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn the_list_of_patients_is_complete_without_duplicates(database: PgPool) {
    let admin = Call::as_admin(&database);
    let mut created = Vec::new();
    for number in 0..7 {
        let patient = with(zoe(), "email", format!("zoe{number}@clinic.example"));
        created.push(admin.created(&patient).await);
    }

    let mut listed = Vec::new();
    let mut path = "/api/patients?limit=3".to_owned();
    loop {
        let page = admin.send(Method::GET, &path, None).await;
        assert_eq!(page.status, StatusCode::OK);
        let patients = page.body["patients"].as_array().unwrap();
        listed.extend(
            patients
                .iter()
                .map(|patient| patient["id"].as_str().unwrap().to_owned()),
        );
        match page.body["nextCursor"].as_str() {
            Some(cursor) => path = format!("/api/patients?limit=3&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(listed, created);

    for query in [
        "limit=0",
        "limit=101",
        "limit=x",
        "cursor=%F0%9F%A9%BA",
        "cursor=abc",
    ] {
        let refused = admin
            .send(Method::GET, &format!("/api/patients?{query}"), None)
            .await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{query}");
    }
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn callers_without_the_permission_are_rejected(database: PgPool) {
    let path = format!(
        "/api/patients/{}",
        Call::as_admin(&database).created(&zoe()).await
    );
    let auditor = Call {
        role: Role::Auditor,
        ..Call::as_admin(&database)
    };
    assert_eq!(auditor.create(&zoe()).await.status, StatusCode::FORBIDDEN);
    assert_eq!(
        auditor.send(Method::PUT, &path, Some(&zoe())).await.status,
        StatusCode::FORBIDDEN
    );
    assert_eq!(
        auditor.send(Method::DELETE, &path, None).await.status,
        StatusCode::FORBIDDEN
    );
    assert_eq!(
        auditor.send(Method::GET, &path, None).await.status,
        StatusCode::OK
    );

    let request = Request::get(path).body(Body::empty()).unwrap();
    let nobody = answer(routes(&database).oneshot(request).await.unwrap()).await;
    assert_eq!(nobody.status, StatusCode::UNAUTHORIZED);
    assert_eq!(
        nobody.body["type"],
        "urn:patient-management:problem:unauthorized"
    );
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn an_invalid_id_is_an_invalid_field(database: PgPool) {
    let admin = Call::as_admin(&database);
    for id in ["1", "not-a-uuid", "%00", "..%2f..%2fetc", "é"] {
        let refused = admin
            .send(Method::GET, &format!("/api/patients/{id}"), None)
            .await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{id}");
        assert_eq!(refused.body["errors"]["id"], "The id must be a UUID");
    }
    let unknown = format!("/api/patients/{}", Uuid::now_v7());
    assert_eq!(
        admin.send(Method::GET, &unknown, None).await.status,
        StatusCode::NOT_FOUND
    );
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn an_unreachable_database_is_503(database: PgPool) {
    let unreachable = database.connect_options().as_ref().clone().port(1);
    let pool = sqlx::postgres::PgPoolOptions::new()
        .acquire_timeout(std::time::Duration::from_millis(200))
        .connect_lazy_with(unreachable);
    let request = Request::get(format!("/api/patients/{}", Uuid::now_v7()));
    let request = as_caller(request.body(Body::empty()).unwrap(), Role::Admin);
    let response = routes(&pool).oneshot(request).await.unwrap();
    assert!(response.headers().contains_key(header::RETRY_AFTER));
    let refused = answer(response).await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(
        refused.body["type"],
        "urn:patient-management:problem:unavailable"
    );
}

/// The transaction that waits for another's change has begun before that change.
#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_later_version_never_has_an_earlier_time(database: PgPool) {
    let admin = Call::as_admin(&database);
    let id = admin.created(&zoe()).await;
    log_in_the_caller(&database).await;
    let path = format!("/api/patients/{id}");
    let restriction = format!("{path}/restriction");
    let restrict = json!({ "restricted": true });
    for (method, path, body) in [
        (Method::PUT, &path, zoe()),
        (Method::PUT, &restriction, restrict),
    ] {
        let mut first = database.begin().await.unwrap();
        sqlx::query("SELECT FROM patients.patient FOR UPDATE")
            .execute(&mut *first)
            .await
            .unwrap();
        let overtaken = async {
            until_somebody_waits(&database).await;
            let at: DateTime<Utc> = sqlx::query_scalar(
                "UPDATE patients.patient
                 SET version = version + 1, updated_at = clock_timestamp() RETURNING updated_at",
            )
            .fetch_one(&mut *first)
            .await
            .unwrap();
            first.commit().await.unwrap();
            at
        };
        let (answer, before) = tokio::join!(admin.send(method, path, Some(&body)), overtaken);
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        let after: DateTime<Utc> = answer.body["updatedAt"].as_str().unwrap().parse().unwrap();
        assert!(after >= before, "{after} is before {before}");
    }
}

async fn until_somebody_waits(database: &PgPool) {
    let waiting = "SELECT count(*) FROM pg_stat_activity
                   WHERE wait_event_type = 'Lock' AND datname = current_database()";
    while sqlx::query_scalar::<_, i64>(waiting)
        .fetch_one(database)
        .await
        .unwrap()
        == 0
    {}
}
