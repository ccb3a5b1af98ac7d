//! How a patient wants to be reached.

use axum::{Router, body::Body};
use events::{Change, Effect, PatientEvent};
use http::{HeaderMap, Request, StatusCode, header};
use http_body_util::BodyExt as _;
use identity::{Role, testing::as_caller};
use mail::testing::Ses;
use notifications::{
    change_notification_preferences, get_notification_preferences,
    notification::Channel,
    occasion::Occasion,
    preferences::{Preferences, opt_out},
};
use serde_json::{Value, json};
use sqlx::PgPool;
use store::Transaction;
use tower::ServiceExt as _;
use uuid::Uuid;

use crate::fixtures::{event, notifier, register};

fn routes(database: &PgPool) -> Router {
    let routes = get_notification_preferences::routes(database.clone())
        .merge(change_notification_preferences::routes(database.clone()));
    api::around("preferences", api::AllowedOrigins::default(), routes)
}

async fn send(
    database: &PgPool,
    request: Request<Body>,
    role: Role,
) -> (StatusCode, HeaderMap, Value) {
    let response = routes(database)
        .oneshot(as_caller(request, role))
        .await
        .unwrap();
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (
        parts.status,
        parts.headers,
        serde_json::from_slice(&body).unwrap(),
    )
}

fn path(patient: Uuid) -> String {
    format!("/api/patients/{patient}/notification-preferences")
}

async fn get(database: &PgPool, patient: Uuid) -> (StatusCode, HeaderMap, Value) {
    let request = Request::get(path(patient)).body(Body::empty()).unwrap();
    send(database, request, Role::Receptionist).await
}

async fn put(
    database: &PgPool,
    patient: Uuid,
    if_match: &str,
    body: &Value,
) -> (StatusCode, Value) {
    let request = Request::put(path(patient))
        .header(header::IF_MATCH, if_match)
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from(body.to_string()))
        .unwrap();
    let (status, _, body) = send(database, request, Role::Receptionist).await;
    (status, body)
}

/// All messages, and these reminders.
fn kinds(reminder: Value) -> Value {
    let mut kinds = json!({
        "APPOINTMENT_BOOKED": both(true, true),
        "APPOINTMENT_CANCELLED": both(true, true),
    });
    kinds["APPOINTMENT_REMINDER"] = reminder;
    kinds
}

fn both(email: bool, sms: bool) -> Value {
    json!({ "EMAIL": email, "SMS": sms })
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn until_somebody_says_otherwise_a_patient_gets_e_mail_in_english(database: PgPool) {
    let patient = register(&database, false).await;
    let (status, headers, body) = get(&database, patient).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    assert_eq!(headers[header::ETAG], "\"0\"");
    let expected = json!({
        "patientId": patient,
        "version": 0,
        "language": "en",
        "phone": null,
        "channels": both(true, false),
        "kinds": {
            "APPOINTMENT_BOOKED": both(true, true),
            "APPOINTMENT_CANCELLED": both(true, true),
            "APPOINTMENT_REMINDER": both(true, true),
        },
        "quietHours": null,
    });
    assert_eq!(body, expected);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn what_was_stored_is_returned_and_may_be_sent_back(database: PgPool) {
    let patient = register(&database, false).await;
    let wanted = json!({
        "language": "de",
        "phone": "+49 (30) 901820",
        "channels": both(true, true),
        "kinds": kinds(both(false, true)),
        "quietHours": { "from": "21:00", "to": "08:00" },
    });
    let (status, stored) = put(&database, patient, "\"0\"", &wanted).await;
    assert_eq!(status, StatusCode::OK, "{stored}");
    assert_eq!(
        (&stored["version"], &stored["phone"]),
        (&json!(1), &json!("+4930901820"))
    );
    assert_eq!(stored["kinds"]["APPOINTMENT_REMINDER"], both(false, true));
    assert_eq!(stored["kinds"]["APPOINTMENT_BOOKED"], both(true, true));
    assert_eq!(stored["quietHours"], wanted["quietHours"]);
    let (_, headers, read) = get(&database, patient).await;
    assert_eq!(read, stored);
    assert_eq!(headers[header::ETAG], "\"1\"");

    let (status, again) = put(&database, patient, "\"1\"", &read).await;
    assert_eq!(status, StatusCode::OK, "{again}");
    assert_eq!(again["version"], 2);
    assert_eq!(again["kinds"], stored["kinds"]);
    let on_record: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM audit.record WHERE patient_ids = ARRAY[$1]
         AND action = 'CHANGE_NOTIFICATION_PREFERENCES' AND outcome = 'SUCCEEDED'",
    )
    .bind(patient)
    .fetch_one(&database)
    .await
    .unwrap();
    assert_eq!(on_record, 2);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_change_applies_to_the_version_that_was_read(database: PgPool) {
    let patient = register(&database, false).await;
    let wanted = json!({ "language": "en", "channels": both(true, false) });
    let (status, _) = put(&database, patient, "\"1\"", &wanted).await;
    assert_eq!(status, StatusCode::PRECONDITION_FAILED);
    let (status, _) = put(&database, patient, "\"0\"", &wanted).await;
    assert_eq!(status, StatusCode::OK);
    let (status, _) = put(&database, patient, "\"0\"", &wanted).await;
    assert_eq!(status, StatusCode::PRECONDITION_FAILED);

    let both = tokio::join!(
        put(&database, patient, "\"1\"", &wanted),
        put(&database, patient, "\"1\"", &wanted)
    );
    let mut statuses = [both.0.0, both.1.0];
    statuses.sort_unstable();
    assert_eq!(statuses, [StatusCode::OK, StatusCode::PRECONDITION_FAILED]);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn opting_out_is_a_change_like_any_other(database: PgPool) {
    let patient = register(&database, false).await;
    for is_new in [true, false] {
        let mut transaction = Transaction::begin(&database).await.unwrap();
        let added = opt_out(
            patient,
            Occasion::AppointmentReminder,
            Channel::Email,
            &mut transaction,
        );
        assert_eq!(added.await.unwrap(), is_new);
        transaction.commit().await.unwrap();
        let (_, _, body) = get(&database, patient).await;
        assert_eq!(body["version"], 1);
        assert_eq!(body["kinds"]["APPOINTMENT_REMINDER"], both(false, true));
        assert_eq!(body["channels"], both(true, false));
    }
    let wanted = json!({ "language": "en", "channels": both(true, false) });
    let (status, _) = put(&database, patient, "\"0\"", &wanted).await;
    assert_eq!(status, StatusCode::PRECONDITION_FAILED);
    // Whoever says nothing of kinds does not undo it.
    let (status, body) = put(&database, patient, "\"1\"", &wanted).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(body["kinds"]["APPOINTMENT_REMINDER"], both(false, true));
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn every_invalid_field_is_named(database: PgPool) {
    let patient = register(&database, false).await;
    for (changed, field) in [
        (json!({ "language": "english" }), "language"),
        (json!({ "phone": "020 7946 0958" }), "phone"),
        (json!({ "channels": both(true, true) }), "phone"),
        (json!({ "channels": { "EMAIL": true } }), "channels.SMS"),
        (
            json!({ "channels": { "EMAIL": true, "SMS": false, "FAX": true } }),
            "channels.FAX",
        ),
        (
            json!({ "kinds": { "APPOINTMENT_MOVED": both(false, false) } }),
            "kinds.APPOINTMENT_MOVED",
        ),
        (
            json!({ "quietHours": { "from": "9pm", "to": "08:00" } }),
            "quietHours.from",
        ),
        (
            json!({ "quietHours": { "from": "08:00", "to": "08:00" } }),
            "quietHours.to",
        ),
        (json!({ "fax": "+44" }), "fax"),
    ] {
        let mut wanted = json!({ "language": "en", "channels": both(true, false) });
        let members = changed.as_object().unwrap().clone();
        wanted.as_object_mut().unwrap().extend(members);
        let (status, body) = put(&database, patient, "*", &wanted).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{wanted}: {body}");
        assert!(body["errors"][field].is_string(), "{wanted}: {body}");
    }
    let (_, _, body) = get(&database, patient).await;
    assert_eq!(body["version"], 0);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn only_who_may_see_the_patient_sees_the_preferences(database: PgPool) {
    let restricted = register(&database, true).await;
    let (status, _, body) = get(&database, restricted).await;
    assert_eq!(status, StatusCode::FORBIDDEN, "{body}");
    let wanted = json!({ "language": "en", "channels": both(true, false) });
    let (status, _) = put(&database, restricted, "*", &wanted).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    for (role, expected) in [
        (Role::Admin, StatusCode::OK),
        (Role::Auditor, StatusCode::OK),
        (Role::Clinician, StatusCode::FORBIDDEN),
    ] {
        let request = Request::get(path(restricted)).body(Body::empty()).unwrap();
        let (status, _, _) = send(&database, request, role).await;
        assert_eq!(status, expected, "{role}");
    }
    let (status, _, _) = get(&database, Uuid::now_v7()).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let (status, _) = put(&database, Uuid::now_v7(), "*", &wanted).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn the_preferences_of_a_patient_outlive_a_deletion_and_go_with_an_erasure(database: PgPool) {
    let patient = register(&database, false).await;
    let wanted = json!({
        "language": "en", "phone": "+442079460958", "channels": both(true, false),
        "kinds": kinds(both(false, false)),
    });
    put(&database, patient, "*", &wanted).await;
    sqlx::query(
        "INSERT INTO notifications.message
             (id, patient_id, appointment_id, kind, channel, sequence, offset_minutes, must_be_told,
              by_patient, occurred_at, due_at, next_attempt_at, state, recipient, subject, sent_at)
         VALUES (gen_random_uuid(), $1, gen_random_uuid(), 'APPOINTMENT_BOOKED', 'EMAIL', 0, 0, false,
                 false, now(), now(), now(), 'SENT', 'zoe@clinic.example', 'For Zoë', now())",
    )
    .bind(patient)
    .execute(&database)
    .await
    .unwrap();
    let notifier = notifier(&Ses::start().await, &database).await;
    let deleted = event(patient, Change::Deleted);
    assert_eq!(notifier.notify(&deleted).await.unwrap(), Effect::Ignored);
    let mut transaction = Transaction::begin(&database).await.unwrap();
    let kept = Preferences::of(patient, &mut transaction).await.unwrap();
    assert_ne!(kept, Preferences::default());
    drop(transaction);
    let erased = PatientEvent {
        patient_version: deleted.patient_version + 1,
        ..event(patient, Change::Erased)
    };
    for effect in [Effect::Ignored, Effect::AlreadyApplied] {
        assert_eq!(notifier.notify(&erased).await.unwrap(), effect);
        let mut transaction = Transaction::begin(&database).await.unwrap();
        let left = Preferences::of(patient, &mut transaction).await.unwrap();
        assert_eq!(left, Preferences::default());
    }
    let said: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM notifications.message
         WHERE recipient IS NOT NULL OR subject IS NOT NULL",
    )
    .fetch_one(&database)
    .await
    .unwrap();
    assert_eq!(said, 0);
    let opt_outs: i64 = sqlx::query_scalar("SELECT count(*) FROM notifications.opt_out")
        .fetch_one(&database)
        .await
        .unwrap();
    assert_eq!(opt_outs, 0);
}
