//! Moving an appointment.

use events::AppointmentChange;
use serde_json::json;
use sqlx::PgPool;
use uuid::Uuid;

use crate::clinic::{Clinic, at};

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_moved_appointment_stays_the_same_one(database: PgPool) {
    let clinic = Clinic::new(database);
    let location = clinic.location("UTC").await;
    let one = clinic.clinician(&location, "09:00", "17:00").await;
    let two = clinic.clinician(&location, "09:00", "17:00").await;
    let service = clinic.service(json!({ "durationMinutes": 60 })).await;
    let patient = clinic.patient().await;
    let id = clinic
        .book(&patient, &service, &[&one], &at(3, "09:00"))
        .await
        .is(201)
        .id();
    // It does not stand in its own way.
    let half = json!({ "start": at(3, "09:30") });
    let moved = clinic.change(&id, "reschedule", half.clone()).await.is(200);
    assert_eq!(moved.body["id"], id);
    assert_eq!(
        (&moved.body["version"], &moved.body["sequence"]),
        (&json!(2), &json!(1))
    );
    assert_eq!(moved.body["resourceIds"], json!([one]));
    // Moved to where it is, it has not changed.
    let same = clinic.change(&id, "reschedule", half).await.is(200);
    assert_eq!(same.body["version"], 2);
    let away = json!({ "start": at(4, "09:00"), "resourceIds": [two] });
    let moved = clinic.change(&id, "reschedule", away).await.is(200);
    assert_eq!(
        (&moved.body["version"], &moved.body["sequence"]),
        (&json!(3), &json!(2))
    );
    assert_eq!(moved.body["resourceIds"], json!([two]));
    let other = clinic.patient().await;
    clinic
        .book(&other, &service, &[&one], &at(3, "09:30"))
        .await
        .is(201);

    let events = clinic.announced(&id).await;
    let AppointmentChange::Rescheduled {
        started_at,
        by_time_zone_rules,
        ..
    } = &events[2].change
    else {
        panic!("{events:?}")
    };
    assert_eq!(
        started_at.format("%Y-%m-%dT%H:%M:00Z").to_string(),
        at(3, "09:30")
    );
    assert!(!by_time_zone_rules);
    let history = clinic
        .get(&format!("/api/appointments/{id}/history"))
        .await
        .is(200);
    let changes: Vec<&str> = history.body["history"]
        .as_array()
        .unwrap()
        .iter()
        .map(|version| version["change"].as_str().unwrap())
        .collect();
    assert_eq!(changes, ["BOOKED", "RESCHEDULED", "RESCHEDULED"]);
    assert_eq!(history.body["history"][1]["start"], at(3, "09:30"));
    clinic.must_be_consistent().await;
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_move_to_what_is_taken_changes_nothing(database: PgPool) {
    let clinic = Clinic::new(database);
    let location = clinic.location("UTC").await;
    let clinician = clinic.clinician(&location, "09:00", "17:00").await;
    let service = clinic.service(json!({})).await;
    let (one, other) = (clinic.patient().await, clinic.patient().await);
    let id = clinic
        .book(&one, &service, &[&clinician], &at(3, "09:00"))
        .await
        .is(201)
        .id();
    clinic
        .book(&other, &service, &[&clinician], &at(3, "10:00"))
        .await
        .is(201);
    let before = clinic.get(&format!("/api/appointments/{id}")).await.is(200);
    let taken = clinic
        .change(&id, "reschedule", json!({ "start": at(3, "10:00") }))
        .await
        .is(409);
    assert_eq!(taken.reasons(), ["TAKEN"]);
    clinic
        .change(&id, "reschedule", json!({ "start": at(3, "10:10") }))
        .await
        .is(422);
    clinic.change(&id, "reschedule", json!({})).await.is(400);
    let stale = clinic.if_version(7);
    stale
        .change(&id, "reschedule", json!({ "start": at(3, "11:00") }))
        .await
        .is(412);
    assert_eq!(
        clinic.get(&format!("/api/appointments/{id}")).await.body,
        before.body
    );
    let unknown = Uuid::now_v7().to_string();
    clinic
        .change(&unknown, "reschedule", json!({ "start": at(3, "11:00") }))
        .await
        .is(404);
    clinic
        .change(&id, "cancel", json!({ "reason": "x" }))
        .await
        .is(200);
    clinic
        .change(&id, "reschedule", json!({ "start": at(3, "11:00") }))
        .await
        .is(409);
    assert_eq!(clinic.heard(&id).await, ["booked", "cancelled"]);
    clinic.must_be_consistent().await;
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn with_nothing_else_said_a_moved_appointment_stays_where_it_is(database: PgPool) {
    let clinic = Clinic::new(database);
    let elsewhere = clinic.location("UTC").await;
    clinic.clinician(&elsewhere, "09:00", "17:00").await;
    let location = clinic.location("UTC").await;
    let clinician = clinic.clinician(&location, "09:00", "17:00").await;
    let service = clinic.service(json!({})).await;
    let patient = clinic.patient().await;
    let id = clinic
        .book(&patient, &service, &[&clinician], &at(3, "09:00"))
        .await
        .is(201)
        .id();
    let anybody = json!({ "start": at(3, "10:00"), "resourceIds": [] });
    let moved = clinic.change(&id, "reschedule", anybody).await.is(200);
    assert_eq!(moved.body["locationId"], location);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn of_two_moves_at_once_none_is_lost(database: PgPool) {
    let clinic = Clinic::new(database);
    let location = clinic.location("UTC").await;
    let one = clinic.clinician(&location, "09:00", "17:00").await;
    let two = clinic.clinician(&location, "09:00", "17:00").await;
    let service = clinic.service(json!({})).await;
    let patient = clinic.patient().await;
    for round in 3..9 {
        let id = clinic
            .book(&patient, &service, &[&one], &at(round, "09:00"))
            .await
            .is(201)
            .id();
        let away = json!({ "start": at(round, "11:00"), "resourceIds": [two] });
        let later = json!({ "start": at(round, "12:00") });
        let (away, later) = futures::join!(
            clinic.change(&id, "reschedule", away),
            clinic.change(&id, "reschedule", later)
        );
        let read = clinic.get(&format!("/api/appointments/{id}")).await.is(200);
        if away.status == 200 {
            assert_eq!(read.body["resourceIds"], json!([two]), "{}", later.text);
        }
        assert!(
            [200, 412].contains(&later.status.as_u16()),
            "{}",
            later.text
        );
    }
    clinic.must_be_consistent().await;
}
