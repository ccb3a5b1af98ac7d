//! What becomes of an appointment.

use serde_json::json;
use sqlx::PgPool;

use crate::clinic::{Clinic, at};

async fn booked(clinic: &Clinic) -> String {
    let location = clinic.location("UTC").await;
    let clinician = clinic.clinician(&location, "00:00", "24:00").await;
    let service = clinic.service(json!({})).await;
    let patient = clinic.patient().await;
    clinic
        .book(&patient, &service, &[&clinician], &at(3, "09:00"))
        .await
        .is(201)
        .id()
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_patient_arrives_and_the_appointment_is_fulfilled(database: PgPool) {
    let clinic = Clinic::new(database);
    let id = booked(&clinic).await;
    clinic.change(&id, "fulfil", json!({})).await.is(409);
    let arrived = clinic
        .post_empty(&format!("/api/appointments/{id}/arrive"))
        .await
        .is(200);
    assert_eq!(arrived.body["status"], "ARRIVED");
    for what in ["arrive", "no-show", "confirm"] {
        clinic.change(&id, what, json!({})).await.is(409);
    }
    clinic
        .change(&id, "cancel", json!({ "reason": "x" }))
        .await
        .is(409);
    let fulfilled = clinic
        .if_version(2)
        .post_empty(&format!("/api/appointments/{id}/fulfil"))
        .await
        .is(200);
    assert_eq!(fulfilled.body["status"], "FULFILLED");
    assert_eq!(clinic.heard(&id).await, ["booked", "arrived", "fulfilled"]);
    clinic.must_be_consistent().await;
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_no_show_frees_the_slot_and_can_be_corrected(database: PgPool) {
    let clinic = Clinic::new(database);
    let id = booked(&clinic).await;
    let missed = clinic.change(&id, "no-show", json!({})).await.is(200);
    assert_eq!(missed.body["status"], "NO_SHOW");
    clinic.must_be_consistent().await;
    // Somebody else gets the slot, and then the patient comes after all.
    let (service, with) = (
        missed.body["serviceId"].as_str().unwrap(),
        missed.body["resourceIds"][0].as_str().unwrap(),
    );
    let other = clinic.patient().await;
    clinic
        .book(&other, service, &[with], &at(3, "09:00"))
        .await
        .is(201);
    clinic
        .post_empty(&format!("/api/appointments/{id}/arrive"))
        .await
        .is(400);
    let arrived = clinic
        .change(&id, "arrive", json!({ "reason": "Came at 9:20" }))
        .await
        .is(200);
    assert_eq!(arrived.body["status"], "ARRIVED");
    assert_eq!(clinic.heard(&id).await, ["booked", "no-show", "arrived"]);
    let history = clinic
        .get(&format!("/api/appointments/{id}/history"))
        .await
        .is(200);
    assert_eq!(history.body["history"][2]["reason"], "Came at 9:20");
    clinic.must_be_consistent().await;
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_cancellation_says_why_and_frees_the_slot(database: PgPool) {
    let clinic = Clinic::new(database);
    let id = booked(&clinic).await;
    for wrong in [
        json!({}),
        json!({ "reason": "" }),
        json!({ "reason": "x".repeat(201) }),
        json!({ "reason": 7 }),
    ] {
        clinic.change(&id, "cancel", wrong).await.is(400);
    }
    let cancelled = clinic
        .change(&id, "cancel", json!({ "reason": "Ill" }))
        .await
        .is(200);
    assert_eq!(cancelled.body["status"], "CANCELLED");
    assert_eq!(cancelled.body["cancellation"]["reason"], "Ill");
    assert_eq!(cancelled.body["sequence"], 1);
    clinic
        .change(&id, "cancel", json!({ "reason": "Ill" }))
        .await
        .is(409);
    clinic.must_be_consistent().await;
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn whoever_walks_in_has_arrived(database: PgPool) {
    let clinic = Clinic::new(database);
    let location = clinic.location("UTC").await;
    // Nobody works at this time, but somebody is there.
    let clinician = clinic.resource("CLINICIAN", &location).await;
    let service = clinic.service(json!({ "durationMinutes": 7 })).await;
    let patient = clinic.patient().await;
    let walk_in = json!({ "patientId": patient, "serviceId": service, "resourceIds": [clinician], "walkIn": true });
    let answer = clinic
        .post("/api/appointments", walk_in.clone())
        .await
        .is(201);
    assert_eq!(
        (&answer.body["status"], &answer.body["walkIn"]),
        (&json!("ARRIVED"), &json!(true))
    );
    let other = clinic.patient().await;
    let mut second = walk_in.clone();
    second["patientId"] = json!(other);
    let busy = clinic.post("/api/appointments", second).await.is(409);
    assert_eq!(busy.reasons(), ["TAKEN"]);
    let mut later = walk_in;
    later["start"] = json!(at(1, "09:00"));
    clinic.post("/api/appointments", later).await.is(422);
    clinic
        .change(&answer.id(), "fulfil", json!({}))
        .await
        .is(200);
    assert_eq!(clinic.heard(&answer.id()).await, ["arrived", "fulfilled"]);
    clinic.must_be_consistent().await;
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn appointments_are_listed_in_the_order_of_time(database: PgPool) {
    let clinic = Clinic::new(database);
    let location = clinic.location("UTC").await;
    let clinician = clinic.clinician(&location, "00:00", "24:00").await;
    let service = clinic.service(json!({})).await;
    let (one, two) = (clinic.patient().await, clinic.patient().await);
    let with = [clinician.as_str()];
    let late = clinic
        .book(&one, &service, &with, &at(5, "09:00"))
        .await
        .is(201)
        .id();
    let early = clinic
        .book(&two, &service, &with, &at(3, "09:00"))
        .await
        .is(201)
        .id();
    let middle = clinic
        .book(&one, &service, &with, &at(4, "09:00"))
        .await
        .is(201)
        .id();
    clinic
        .change(&middle, "cancel", json!({ "reason": "x" }))
        .await
        .is(200);
    let ids = async |query: &str| -> Vec<String> {
        let answer = clinic
            .get(&format!("/api/appointments?{query}"))
            .await
            .is(200);
        let list = answer.body["appointments"].as_array().unwrap().iter();
        list.map(|one| one["id"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(ids("").await, [early.clone(), middle.clone(), late.clone()]);
    assert_eq!(
        ids(&format!("patientId={one}")).await,
        [middle.clone(), late.clone()]
    );
    assert_eq!(ids("status=CANCELLED").await, std::slice::from_ref(&middle));
    assert_eq!(
        ids(&format!("resourceId={clinician}&status=BOOKED")).await,
        [early.clone(), late.clone()]
    );
    let days = format!(
        "from={}&to={}",
        &at(4, "09:00")[..10],
        &at(4, "09:00")[..10]
    );
    assert_eq!(ids(&days).await, std::slice::from_ref(&middle));
    assert_eq!(
        ids(&format!("from={}&to={}", at(3, "09:00"), at(4, "09:00"))).await,
        std::slice::from_ref(&early)
    );
    assert!(ids(&format!("resourceId={one}")).await.is_empty());
    let first = clinic.get("/api/appointments?limit=2").await.is(200);
    let cursor = first.body["nextCursor"].as_str().unwrap();
    assert_eq!(ids(&format!("limit=2&cursor={cursor}")).await, [late]);
    for wrong in [
        "status=LOST",
        "from=yesterday",
        "limit=0",
        "patientId=7",
        "orphaned=maybe",
    ] {
        clinic
            .get(&format!("/api/appointments?{wrong}"))
            .await
            .is(400);
    }
}
