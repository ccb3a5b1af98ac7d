//! Appointments of patients whose records are restricted.

use identity::Role;
use serde_json::json;
use sqlx::PgPool;
use uuid::Uuid;

use crate::clinic::{Clinic, at, in_days};

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn only_those_who_may_see_the_patient_see_the_appointment(database: PgPool) {
    let clinic = Clinic::new(database);
    let location = clinic.location("UTC").await;
    let clinician = clinic.clinician(&location, "09:00", "17:00").await;
    let service = clinic.service(json!({})).await;
    let patient = clinic.patient().await;
    let doctor = clinic.acting_as(Role::Clinician);
    let keyed = doctor.with_key("a-key");
    let id = keyed
        .book(&patient, &service, &[&clinician], &at(3, "09:00"))
        .await
        .is(201)
        .id();
    let wait =
        json!({ "patientId": patient, "serviceId": service, "from": in_days(9), "to": in_days(9) });
    let entry = clinic.post("/api/waitlist", wait).await.is(201).id();
    sqlx::query("UPDATE patients.patient SET restricted = true WHERE id = $1")
        .bind(Uuid::parse_str(&patient).unwrap())
        .execute(&clinic.database)
        .await
        .unwrap();
    doctor.get(&format!("/api/appointments/{id}")).await.is(403);
    doctor
        .get(&format!("/api/appointments/{id}/history"))
        .await
        .is(403);
    doctor
        .get(&format!("/api/appointments?patientId={patient}"))
        .await
        .is(403);
    doctor
        .change(&id, "cancel", json!({ "reason": "x" }))
        .await
        .is(403);
    doctor.change(&id, "arrive", json!({})).await.is(403);
    doctor
        .change(&id, "reschedule", json!({ "start": at(3, "11:00") }))
        .await
        .is(403);
    doctor
        .book(&patient, &service, &[&clinician], &at(3, "12:00"))
        .await
        .is(403);
    doctor
        .delete(&format!("/api/waitlist/{entry}"))
        .await
        .is(403);
    let replay = keyed
        .book(&patient, &service, &[&clinician], &at(3, "09:00"))
        .await
        .is(403);
    assert!(!replay.text.contains(&id));
    let list = doctor.get("/api/appointments").await.is(200);
    assert_eq!(list.body["appointments"], json!([]));
    let list = doctor.get("/api/waitlist").await.is(200);
    assert_eq!(list.body["entries"], json!([]));
    // The slot is taken all the same, and an absence does not give away by whom.
    let other = clinic.patient().await;
    doctor
        .book(&other, &service, &[&clinician], &at(3, "09:00"))
        .await
        .is(409);
    let absence = json!({ "from": at(3, "08:00"), "to": at(3, "18:00"), "reason": "Ill" });
    let path = format!("/api/resources/{clinician}/absences");
    let recorded = doctor.post(&path, absence).await.is(201);
    assert_eq!(recorded.body["appointments"], json!([]));
    let read = clinic
        .acting_as(Role::Auditor)
        .get(&format!("/api/appointments/{id}"))
        .await
        .is(200);
    assert_eq!(read.body["orphaned"], true);
    let refused: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM audit.record WHERE outcome = 'REFUSED' AND patient_ids = ARRAY[$1]",
    )
    .bind(Uuid::parse_str(&patient).unwrap())
    .fetch_one(&clinic.database)
    .await
    .unwrap();
    assert_eq!(refused, 9);
}
