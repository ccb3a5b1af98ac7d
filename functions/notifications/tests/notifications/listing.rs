//! The responses to clients.

use axum::body::Body;
use chrono::TimeDelta;
use events::{Change, PatientEvent};
use http::{Request, StatusCode};
use identity::{Role, testing::as_caller};
use mail::testing::{MESSAGE_REJECTED, Ses};
use notifications::schedule_messages::Scheduler;
use serde_json::{Value, json};
use sqlx::PgPool;
use store::testing;
use uuid::Uuid;

use crate::fixtures::{EMAIL, answer, booking, created, event, get, notifier, zoe};

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_sent_notification_is_shown(database: PgPool) {
    let notifier = notifier(&Ses::start().await, &database).await;
    let event = created(zoe());
    notifier.notify(&event).await.unwrap();

    let query = format!("?patientId={}", event.patient_id);
    let (status, mut body) = get(&database, &notifier.table, &query).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    let shown = &mut body["notifications"][0];
    for chosen in ["id", "createdAt", "sentAt"] {
        assert!(shown[chosen].take().is_string(), "{chosen}");
    }
    assert_eq!(
        body,
        json!({
            "notifications": [{
                "id": null,
                "patientId": event.patient_id,
                "kind": "WELCOME",
                "channel": "EMAIL",
                "recipient": EMAIL,
                "subject": "Welcome to Klinik Süd",
                "state": "SENT",
                "createdAt": null,
                "sentAt": null,
                "appointmentId": null,
                "dueAt": null,
                "reason": null,
            }],
            "nextCursor": null,
        })
    );
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_failed_notification_has_no_time_of_sending(database: PgPool) {
    let ses = Ses::start().await;
    let notifier = notifier(&ses, &database).await;
    let event = created(zoe());
    ses.refuse_next(MESSAGE_REJECTED);
    notifier.notify(&event).await.unwrap();
    let query = format!("?patientId={}", event.patient_id);
    let (_, body) = get(&database, &notifier.table, &query).await;
    let shown = &body["notifications"][0];
    assert_eq!(
        (&shown["state"], &shown["sentAt"]),
        (&json!("FAILED"), &Value::Null)
    );
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn pages_go_from_new_to_old_without_gaps_or_duplicates(database: PgPool) {
    let notifier = notifier(&Ses::start().await, &database).await;
    let patient_id = Uuid::now_v7();
    let events: Vec<PatientEvent> = (1..=7)
        .map(|version| {
            let event = event(patient_id, Change::Created(zoe()));
            PatientEvent {
                occurred_at: event.occurred_at + TimeDelta::hours(version),
                patient_version: version,
                ..event
            }
        })
        .collect();
    for event in &events {
        notifier.notify(event).await.unwrap();
    }
    notifier.notify(&created(zoe())).await.unwrap();

    let all = format!("?patientId={patient_id}");
    let (_, body) = get(&database, &notifier.table, &all).await;
    let all_ids = ids(&body);
    assert_eq!(all_ids.len(), 7);
    assert_eq!(body["nextCursor"], Value::Null);
    let created_at = |shown: &Value| shown["createdAt"].as_str().unwrap().to_owned();
    let notifications = body["notifications"].as_array().unwrap();
    assert!(notifications.is_sorted_by_key(|shown| std::cmp::Reverse(created_at(shown))));

    for limit in [1, 3, 6, 7] {
        let mut paged = Vec::new();
        let mut cursor = String::new();
        loop {
            let (status, body) = get(
                &database,
                &notifier.table,
                &format!("{all}&limit={limit}{cursor}"),
            )
            .await;
            assert_eq!(status, StatusCode::OK, "{body}");
            let page = ids(&body);
            assert!(!page.is_empty() && page.len() <= limit);
            paged.extend(page);
            let Some(next) = body["nextCursor"].as_str() else {
                break;
            };
            cursor = format!("&cursor={next}");
        }
        assert_eq!(paged, all_ids, "limit {limit}");
    }
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn welcomes_and_messages_about_appointments_are_listed_together(database: PgPool) {
    let notifier = notifier(&Ses::start().await, &database).await;
    let patient_id = Uuid::now_v7();
    let start = created(zoe()).occurred_at;
    for hours in [0, 2, 4] {
        let welcome = PatientEvent {
            occurred_at: start + TimeDelta::hours(hours),
            patient_version: hours + 1,
            ..event(patient_id, Change::Created(zoe()))
        };
        notifier.notify(&welcome).await.unwrap();
    }
    // A confirmation and two reminders on two channels each: between the welcomes, and after them.
    let scheduler = Scheduler {
        database: database.clone(),
    };
    for hours in [1, 3, 4, 5] {
        let mut booked = booking(patient_id, start + TimeDelta::days(30));
        booked.occurred_at = start + TimeDelta::hours(hours);
        scheduler.apply(&booked).await.unwrap();
    }
    let all = format!("?patientId={patient_id}");
    let (_, body) = get(&database, &notifier.table, &format!("{all}&limit=100")).await;
    let all_ids = ids(&body);
    assert_eq!(all_ids.len(), 3 + 4 * 6);
    let kinds: Vec<_> = body["notifications"]
        .as_array()
        .unwrap()
        .iter()
        .map(|shown| shown["kind"].as_str().unwrap() == "WELCOME")
        .collect();
    // Those of the same time are in the order of their ids.
    assert!(!kinds[..6].contains(&true), "{kinds:?}");
    assert_eq!(kinds[6..13].iter().filter(|welcome| **welcome).count(), 1);
    let rest: Vec<_> = [vec![false; 6], vec![true], vec![false; 6], vec![true]].concat();
    assert_eq!(kinds[13..], rest);

    for limit in [1, 2, 5, 6, 7, 26, 27] {
        let mut paged = Vec::new();
        let mut cursor = String::new();
        loop {
            let query = format!("{all}&limit={limit}{cursor}");
            let (status, body) = get(&database, &notifier.table, &query).await;
            assert_eq!(status, StatusCode::OK, "{body}");
            paged.extend(ids(&body));
            let Some(next) = body["nextCursor"].as_str() else {
                break;
            };
            cursor = format!("&cursor={next}");
        }
        assert_eq!(paged, all_ids, "limit {limit}");
    }
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_message_about_an_appointment_says_what_became_of_it(database: PgPool) {
    let table = testing::table().await;
    let patient_id = Uuid::now_v7();
    let booked = booking(patient_id, chrono::Utc::now() + TimeDelta::days(30));
    let booked = events::AppointmentEvent {
        occurred_at: booked.appointment.starts_at - TimeDelta::days(1),
        ..booked
    };
    let scheduler = Scheduler {
        database: database.clone(),
    };
    scheduler.apply(&booked).await.unwrap();
    let (_, body) = get(&database, &table, &format!("?patientId={patient_id}")).await;
    let late = body["notifications"]
        .as_array()
        .unwrap()
        .iter()
        .find(|shown| shown["state"] == "SUPPRESSED" && shown["channel"] == "EMAIL")
        .unwrap();
    assert_eq!(late["kind"], "APPOINTMENT_REMINDER");
    assert_eq!(late["reason"], "PAST_AT_BOOKING");
    assert_eq!(late["appointmentId"], json!(booked.appointment_id));
    assert_eq!(
        (&late["recipient"], &late["sentAt"]),
        (&Value::Null, &Value::Null)
    );
    assert!(late["dueAt"].is_string());
}

fn ids(body: &Value) -> Vec<String> {
    let shown = body["notifications"].as_array().unwrap();
    let ids = shown.iter().map(|shown| shown["id"].as_str().unwrap());
    ids.map(ToOwned::to_owned).collect()
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_cursor_does_not_open_another_patients_notifications(database: PgPool) {
    let notifier = notifier(&Ses::start().await, &database).await;
    let patient_id = Uuid::now_v7();
    for patient_version in 1..=2 {
        let event = PatientEvent {
            patient_version,
            ..event(patient_id, Change::Created(zoe()))
        };
        notifier.notify(&event).await.unwrap();
    }
    let (_, body) = get(
        &database,
        &notifier.table,
        &format!("?patientId={patient_id}&limit=1"),
    )
    .await;
    let cursor = body["nextCursor"].as_str().unwrap();

    let other = format!("?patientId={}&cursor={cursor}", Uuid::now_v7());
    let (status, body) = get(&database, &notifier.table, &other).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(body, json!({ "notifications": [], "nextCursor": null }));
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn an_unknown_patient_has_no_notifications(database: PgPool) {
    let table = testing::table().await;
    let (status, body) = get(&database, &table, &format!("?patientId={}", Uuid::now_v7())).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(body, json!({ "notifications": [], "nextCursor": null }));
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn an_invalid_patient_id_is_named(database: PgPool) {
    let table = testing::table().await;
    for query in [
        "",
        "?patientId=",
        "?patientId=42",
        "?patientId=%F0%9F%A9%BA",
        "?limit=5",
    ] {
        let (status, body) = get(&database, &table, query).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{query}");
        assert!(body["errors"]["patientId"].is_string(), "{query}: {body}");
    }
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_refusal_names_the_patient_however_the_id_was_written(database: PgPool) {
    let table = testing::table().await;
    let patient = Uuid::now_v7();
    sqlx::query("INSERT INTO patients.restricted_before_deletion (patient_id) VALUES ($1)")
        .bind(patient)
        .execute(&database)
        .await
        .unwrap();
    let id = patient.to_string();
    let encoded = id.replace('-', "%2D").replace('0', "%30");
    let mut expected = Vec::new();
    for query in [
        format!("?patientId={}", id.to_uppercase()),
        format!("?patientId={encoded}"),
        format!("?limit=1&patient%49d={id}"),
    ] {
        let (status, body) = get(&database, &table, &query).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{query}: {body}");
        expected.push(vec![patient]);
        let refused: Vec<Vec<Uuid>> = sqlx::query_scalar(
            "SELECT patient_ids FROM audit.record
             WHERE action = 'READ_NOTIFICATIONS' AND outcome = 'REFUSED'",
        )
        .fetch_all(&database)
        .await
        .unwrap();
        assert_eq!(refused, expected, "{query}");
    }
    for other in [
        format!("urn:uuid:{id}"),
        format!("%7B{id}%7D"),
        id.replace('-', ""),
    ] {
        let (status, body) = get(&database, &table, &format!("?patientId={other}")).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{other}");
        assert!(body["errors"]["patientId"].is_string(), "{other}: {body}");
    }
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn an_invalid_limit_or_cursor_is_rejected(database: PgPool) {
    let table = testing::table().await;
    let patient = format!("?patientId={}", Uuid::now_v7());
    for (rest, parameter) in [
        ("&limit=0", "limit"),
        ("&limit=101", "limit"),
        ("&limit=x", "limit"),
        ("&limit=1&limit=2", "limit"),
        ("&cursor=e30", "cursor"),
        ("&cursor=%C3%BC", "cursor"),
        ("&page=2", "page"),
        ("&patientid=1", "patientid"),
    ] {
        let (status, body) = get(&database, &table, &format!("{patient}{rest}")).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{rest}: {body}");
        assert!(body["errors"][parameter].is_string(), "{rest}: {body}");
    }
    let empty = format!("{patient}&limit=&cursor=");
    let (status, body) = get(&database, &table, &empty).await;
    assert_eq!(status, StatusCode::OK, "{body}");
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn only_permitted_roles_may_list_notifications(database: PgPool) {
    let request = || {
        Request::get("/api/notifications")
            .body(Body::empty())
            .unwrap()
    };
    for (request, expected) in [
        (request(), StatusCode::UNAUTHORIZED),
        (as_caller(request(), Role::Clinician), StatusCode::FORBIDDEN),
        (as_caller(request(), Role::Auditor), StatusCode::BAD_REQUEST),
    ] {
        let (status, _) = answer(&database, testing::table().await, request).await;
        assert_eq!(status, expected);
    }
}
