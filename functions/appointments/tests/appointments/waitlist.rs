//! The waitlist.

use serde_json::json;
use sqlx::PgPool;
use uuid::Uuid;

use crate::clinic::{Clinic, at, in_days};

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn the_waitlist_suggests_what_becomes_free(database: PgPool) {
    let clinic = Clinic::new(database);
    let location = clinic.location("UTC").await;
    let clinician = clinic.clinician(&location, "09:00", "09:30").await;
    let service = clinic.service(json!({})).await;
    let (has, waits) = (clinic.patient().await, clinic.patient().await);
    let id = clinic
        .book(&has, &service, &[&clinician], &at(3, "09:00"))
        .await
        .is(201)
        .id();
    let wait =
        json!({ "patientId": waits, "serviceId": service, "from": in_days(3), "to": in_days(3) });
    let entry = clinic
        .post("/api/waitlist", wait.clone())
        .await
        .is(201)
        .id();
    let suggestion = async || {
        let list = clinic.get("/api/waitlist").await.is(200);
        list.body["entries"][0]["suggestion"].clone()
    };
    assert!(suggestion().await.is_null());
    clinic
        .change(&id, "cancel", json!({ "reason": "x" }))
        .await
        .is(200);
    assert_eq!(suggestion().await["start"], at(3, "09:00"));
    clinic
        .book(&waits, &service, &[&clinician], &at(3, "09:00"))
        .await
        .is(201);
    let list = clinic.get("/api/waitlist").await.is(200);
    assert_eq!(
        list.body["entries"],
        json!([]),
        "they have what they waited for"
    );
    clinic
        .delete(&format!("/api/waitlist/{entry}"))
        .await
        .is(404);
    let other = clinic.post("/api/waitlist", wait).await.is(201).id();
    clinic
        .delete(&format!("/api/waitlist/{other}"))
        .await
        .is(204);
    for wrong in [
        json!({ "patientId": waits, "serviceId": service, "from": in_days(3), "to": in_days(2) }),
        json!({ "patientId": waits, "serviceId": service, "from": in_days(3), "to": in_days(400) }),
        json!({ "patientId": waits, "serviceId": service, "from": "soon", "to": in_days(3) }),
    ] {
        clinic.post("/api/waitlist", wrong).await.is(400);
    }
    let unknown = json!({ "patientId": waits, "serviceId": Uuid::now_v7(), "from": in_days(3), "to": in_days(3) });
    clinic.post("/api/waitlist", unknown).await.is(404);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_series_or_a_move_ends_the_wait(database: PgPool) {
    let clinic = Clinic::new(database);
    let location = clinic.location("UTC").await;
    let clinician = clinic.clinician(&location, "09:00", "17:00").await;
    let room = clinic.resource("ROOM", &location).await;
    let service = clinic.service(json!({})).await;
    let (one, two) = (clinic.patient().await, clinic.patient().await);
    let id = clinic
        .book(&one, &service, &[&clinician], &at(20, "09:00"))
        .await
        .is(201)
        .id();
    for patient in [&one, &two] {
        let wait = json!({ "patientId": patient, "serviceId": service, "from": in_days(3), "to": in_days(5) });
        clinic.post("/api/waitlist", wait).await.is(201);
    }
    clinic
        .change(&id, "reschedule", json!({ "start": at(4, "09:00") }))
        .await
        .is(200);
    let series = json!({ "patientId": two, "serviceId": service, "start": at(5, "09:00"), "occurrences": 2 });
    clinic.post("/api/appointment-series", series).await.is(201);
    let list = clinic.get("/api/waitlist").await.is(200);
    assert_eq!(list.body["entries"], json!([]));
    let past =
        json!({ "patientId": one, "serviceId": service, "from": "2020-01-01", "to": "2020-01-02" });
    clinic.post("/api/waitlist", past).await.is(400);
    let unneeded = json!({
        "patientId": one, "serviceId": service, "from": in_days(3), "to": in_days(5), "resourceId": room,
    });
    clinic.post("/api/waitlist", unneeded).await.is(404);
}
