//! Slots that are held for a few minutes.

use serde_json::json;
use sqlx::PgPool;

use crate::clinic::{Clinic, at, in_days};

async fn hold(clinic: &Clinic, patient: &str, service: &str, start: &str) -> String {
    let booking =
        json!({ "patientId": patient, "serviceId": service, "start": start, "hold": true });
    let answer = clinic.post("/api/appointments", booking).await.is(201);
    assert_eq!(answer.body["status"], "PENDING");
    assert!(answer.body["holdExpiresAt"].is_string());
    answer.id()
}

async fn expire(clinic: &Clinic) {
    sqlx::query("UPDATE appointments.appointment SET hold_expires_at = now() - interval '1 second' WHERE status = 'PENDING'")
        .execute(&clinic.database)
        .await
        .unwrap();
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_hold_keeps_the_slot_until_it_is_confirmed(database: PgPool) {
    let clinic = Clinic::new(database);
    let location = clinic.location("UTC").await;
    clinic.clinician(&location, "09:00", "10:00").await;
    let service = clinic.service(json!({})).await;
    let (one, other) = (clinic.patient().await, clinic.patient().await);
    let held = hold(&clinic, &one, &service, &at(3, "09:00")).await;
    assert_eq!(
        clinic.slots(&service, &in_days(3), &in_days(3), "").await,
        [at(3, "09:30")]
    );
    clinic
        .book(&other, &service, &[], &at(3, "09:00"))
        .await
        .is(409);
    assert!(
        clinic.heard(&held).await.is_empty(),
        "nobody hears of a hold"
    );
    let confirmed = clinic
        .post_empty(&format!("/api/appointments/{held}/confirm"))
        .await
        .is(200);
    assert_eq!(confirmed.body["status"], "BOOKED");
    assert!(confirmed.body["holdExpiresAt"].is_null());
    assert_eq!(clinic.heard(&held).await, ["booked"]);
    let again = clinic.change(&held, "confirm", json!({})).await.is(409);
    assert_eq!(again.problem(), "conflict");
    clinic.must_be_consistent().await;
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_hold_that_has_expired_is_in_nobodys_way(database: PgPool) {
    let clinic = Clinic::new(database);
    let location = clinic.location("UTC").await;
    clinic.clinician(&location, "09:00", "10:00").await;
    let service = clinic.service(json!({})).await;
    let (one, other) = (clinic.patient().await, clinic.patient().await);
    let held = hold(&clinic, &one, &service, &at(3, "09:00")).await;
    expire(&clinic).await;
    assert_eq!(
        clinic
            .slots(&service, &in_days(3), &in_days(3), "")
            .await
            .len(),
        2
    );
    let late = clinic.change(&held, "confirm", json!({})).await.is(409);
    assert_eq!(late.problem(), "hold-expired");
    clinic
        .book(&other, &service, &[], &at(3, "09:00"))
        .await
        .is(201);
    let read = clinic
        .get(&format!("/api/appointments/{held}"))
        .await
        .is(200);
    assert_eq!(read.body["status"], "CANCELLED");
    let late = clinic.change(&held, "confirm", json!({})).await.is(409);
    assert_eq!(late.problem(), "hold-expired");
    assert!(clinic.heard(&held).await.is_empty());
    clinic.must_be_consistent().await;
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_hold_is_cancelled_without_anybody_hearing_of_it(database: PgPool) {
    let clinic = Clinic::new(database);
    let location = clinic.location("UTC").await;
    clinic.clinician(&location, "09:00", "10:00").await;
    let service = clinic.service(json!({})).await;
    let patient = clinic.patient().await;
    let held = hold(&clinic, &patient, &service, &at(3, "09:00")).await;
    clinic
        .change(&held, "cancel", json!({ "reason": "Changed their mind" }))
        .await
        .is(200);
    assert!(clinic.heard(&held).await.is_empty());
    assert_eq!(
        clinic
            .slots(&service, &in_days(3), &in_days(3), "")
            .await
            .len(),
        2
    );
    clinic.must_be_consistent().await;
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_hold_that_nobody_is_there_for_is_not_confirmed(database: PgPool) {
    let clinic = Clinic::new(database);
    let location = clinic.location("UTC").await;
    let clinician = clinic.clinician(&location, "09:00", "10:00").await;
    let service = clinic.service(json!({})).await;
    let patient = clinic.patient().await;
    let held = hold(&clinic, &patient, &service, &at(3, "09:00")).await;
    let absence = json!({ "from": at(3, "00:00"), "to": at(4, "00:00"), "reason": "Ill" });
    clinic
        .post(&format!("/api/resources/{clinician}/absences"), absence)
        .await
        .is(201);
    clinic.change(&held, "confirm", json!({})).await.is(409);
    assert!(clinic.heard(&held).await.is_empty());
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn an_expired_hold_does_not_keep_out_who_comes_late(database: PgPool) {
    let clinic = Clinic::new(database);
    let location = clinic.location("UTC").await;
    let clinician = clinic.clinician(&location, "09:00", "10:00").await;
    let service = clinic.service(json!({})).await;
    let (late, other) = (clinic.patient().await, clinic.patient().await);
    let id = clinic
        .book(&late, &service, &[&clinician], &at(3, "09:00"))
        .await
        .is(201)
        .id();
    clinic.change(&id, "no-show", json!({})).await.is(200);
    hold(&clinic, &other, &service, &at(3, "09:00")).await;
    expire(&clinic).await;
    clinic
        .change(&id, "arrive", json!({ "reason": "Came late" }))
        .await
        .is(200);
    clinic.must_be_consistent().await;
}
