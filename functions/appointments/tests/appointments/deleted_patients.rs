//! What is left of the appointments of a deleted patient.

use appointments::booking::cancel_for_deleted_patient::cancel_for_deleted_patient;
use chrono::Utc;
use events::{Change, Effect, PatientEvent};
use serde_json::json;
use sqlx::PgPool;
use uuid::Uuid;

use crate::clinic::{Clinic, at, in_days};

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn the_appointments_of_a_deleted_patient_are_cancelled_once(database: PgPool) {
    let clinic = Clinic::new(database);
    let location = clinic.location("UTC").await;
    let clinician = clinic.clinician(&location, "09:00", "17:00").await;
    let service = clinic.service(json!({})).await;
    let patient = clinic.patient().await;
    let other = clinic.patient().await;
    let id = clinic
        .book(&patient, &service, &[&clinician], &at(3, "09:00"))
        .await
        .is(201)
        .id();
    let stays = clinic
        .book(&other, &service, &[&clinician], &at(3, "10:00"))
        .await
        .is(201)
        .id();
    let wait =
        json!({ "patientId": patient, "serviceId": service, "from": in_days(9), "to": in_days(9) });
    clinic.post("/api/waitlist", wait).await.is(201);
    let event = |change| PatientEvent {
        id: Uuid::now_v7(),
        occurred_at: Utc::now(),
        patient_id: patient.parse().unwrap(),
        patient_version: 2,
        change,
    };
    let database = &clinic.database;
    let deleted = event(Change::Deleted);
    let effect = cancel_for_deleted_patient(database, &deleted)
        .await
        .unwrap();
    assert_eq!(effect, Effect::Applied);
    let effect = cancel_for_deleted_patient(database, &deleted)
        .await
        .unwrap();
    assert_eq!(effect, Effect::AlreadyApplied);
    assert_eq!(clinic.heard(&id).await, ["booked", "cancelled"]);
    assert_eq!(clinic.heard(&stays).await, ["booked"]);
    let list = clinic.get("/api/waitlist").await.is(200);
    assert_eq!(list.body["entries"], json!([]));
    clinic.must_be_consistent().await;
}

/// What was booked under the id of a record that was merged into the deleted one is theirs.
#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn appointments_of_a_merged_record_are_cancelled_with_the_survivors(database: PgPool) {
    let clinic = Clinic::new(database);
    let location = clinic.location("UTC").await;
    let clinician = clinic.clinician(&location, "09:00", "17:00").await;
    let service = clinic.service(json!({})).await;
    let [survivor, duplicate] = [clinic.patient().await, clinic.patient().await];
    let id = clinic
        .book(&duplicate, &service, &[&clinician], &at(3, "09:00"))
        .await
        .is(201)
        .id();
    sqlx::query(
        "UPDATE patients.patient SET merged_into = $1::uuid, active = false WHERE id = $2::uuid",
    )
    .bind(&survivor)
    .bind(&duplicate)
    .execute(&clinic.database)
    .await
    .unwrap();
    let deleted = PatientEvent {
        id: Uuid::now_v7(),
        occurred_at: Utc::now(),
        patient_id: survivor.parse().unwrap(),
        patient_version: 2,
        change: Change::Deleted,
    };
    let effect = cancel_for_deleted_patient(&clinic.database, &deleted);
    assert_eq!(effect.await.unwrap(), Effect::Applied);
    assert_eq!(clinic.heard(&id).await, ["booked", "cancelled"]);
    clinic.must_be_consistent().await;
}

/// The deletion comes between the two looks of the booking.
#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn who_is_deleted_while_a_booking_waits_gets_no_appointment(database: PgPool) {
    let clinic = Clinic::new(database);
    let location = clinic.location("UTC").await;
    let clinician = clinic.clinician(&location, "09:00", "17:00").await;
    let service = clinic.service(json!({})).await;
    let patient = clinic.patient().await;
    let mut consumer = clinic.database.begin().await.unwrap();
    sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended('appointments of ' || $1, 0))")
        .bind(&patient)
        .execute(&mut *consumer)
        .await
        .unwrap();
    let (start, with) = (at(3, "09:00"), [clinician.as_str()]);
    let booking = clinic.book(&patient, &service, &with, &start);
    let deletion = async {
        let waiting = "SELECT count(*) FROM pg_locks
                       WHERE locktype = 'advisory' AND NOT granted
                           AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
        loop {
            let count = sqlx::query_scalar::<_, i64>(waiting);
            if count.fetch_one(&clinic.database).await.unwrap() > 0 {
                break;
            }
        }
        sqlx::query("UPDATE patients.patient SET deleted_at = now() WHERE id = $1::uuid")
            .bind(&patient)
            .execute(&mut *consumer)
            .await
            .unwrap();
        consumer.commit().await.unwrap();
    };
    let (answer, ()) = futures::join!(booking, deletion);
    assert_eq!(answer.is(404).problem(), "not-found");
    let booked: i64 = sqlx::query_scalar("SELECT count(*) FROM appointments.appointment")
        .fetch_one(&clinic.database)
        .await
        .unwrap();
    assert_eq!(booked, 0);
}
