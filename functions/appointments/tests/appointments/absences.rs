//! Absences, closures and new hours over what is booked.

use serde_json::json;
use sqlx::PgPool;

use crate::clinic::{Clinic, at, in_days};

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn an_absence_shows_what_it_touches_before_it_is_recorded(database: PgPool) {
    let clinic = Clinic::new(database);
    let location = clinic.location("UTC").await;
    let clinician = clinic.clinician(&location, "09:00", "17:00").await;
    let service = clinic.service(json!({})).await;
    let (one, two) = (clinic.patient().await, clinic.patient().await);
    let touched = clinic
        .book(&one, &service, &[&clinician], &at(3, "10:00"))
        .await
        .is(201)
        .id();
    let untouched = clinic
        .book(&two, &service, &[&clinician], &at(3, "12:00"))
        .await
        .is(201)
        .id();
    let path = format!("/api/resources/{clinician}/absences");
    let absence = |preview: bool| json!({ "from": at(3, "10:15"), "to": at(3, "11:00"), "reason": "Dentist", "preview": preview });
    let preview = clinic.post(&path, absence(true)).await.is(200);
    assert_eq!(preview.body["appointments"].as_array().unwrap().len(), 1);
    assert_eq!(preview.body["appointments"][0]["id"], touched);
    assert_eq!(preview.body["appointments"][0]["orphaned"], false);
    assert!(preview.body["id"].is_null());
    assert_eq!(
        clinic
            .slots(&service, &in_days(3), &in_days(3), "")
            .await
            .len(),
        14,
        "nothing has changed"
    );
    let recorded = clinic.post(&path, absence(false)).await.is(201);
    assert_eq!(recorded.body["appointments"][0]["id"], touched);
    assert_eq!(recorded.body["appointments"][0]["orphaned"], true);
    // A repetition is about the same absence, and tells nobody again.
    let repeated = clinic.post(&path, absence(false)).await.is(201);
    assert_eq!(repeated.body, recorded.body);
    let read = clinic
        .get(&format!("/api/appointments/{touched}"))
        .await
        .is(200);
    assert_eq!(
        (&read.body["orphaned"], &read.body["status"]),
        (&json!(true), &json!("BOOKED"))
    );
    let read = clinic
        .get(&format!("/api/appointments/{untouched}"))
        .await
        .is(200);
    assert_eq!(read.body["orphaned"], false);
    assert_eq!(clinic.heard(&touched).await, ["booked", "orphaned"]);
    let list = clinic.get("/api/appointments?orphaned=true").await.is(200);
    assert_eq!(list.body["appointments"].as_array().unwrap().len(), 1);
    // Whoever is moved is not orphaned any more.
    let moved = clinic
        .change(&touched, "reschedule", json!({ "start": at(3, "11:00") }))
        .await
        .is(200);
    assert_eq!(moved.body["orphaned"], false);
    let three = clinic.patient().await;
    let absent = clinic
        .book(&three, &service, &[&clinician], &at(3, "10:00"))
        .await
        .is(409);
    assert_eq!(absent.reasons(), ["ABSENT"]);
    for (from, to, reason) in [
        (at(3, "11:00"), at(3, "11:00"), "x"),
        (at(3, "11:00"), at(3, "10:00"), "x"),
        (at(3, "11:00"), in_days(4), "x"),
        (at(3, "11:00"), at(900, "11:00"), "x"),
        (at(3, "11:00"), at(3, "12:00"), ""),
    ] {
        clinic
            .post(&path, json!({ "from": from, "to": to, "reason": reason }))
            .await
            .is(400);
    }
    clinic.must_be_consistent().await;
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn closures_and_hours_orphan_and_give_back(database: PgPool) {
    let clinic = Clinic::new(database);
    let location = clinic.location("UTC").await;
    let clinician = clinic.clinician(&location, "09:00", "17:00").await;
    let service = clinic.service(json!({})).await;
    let patient = clinic.patient().await;
    let id = clinic
        .book(&patient, &service, &[&clinician], &at(3, "10:00"))
        .await
        .is(201)
        .id();
    let closure = format!("/api/locations/{location}/closures/{}", in_days(3));
    let preview = clinic
        .put(&closure, json!({ "reason": "Storm", "preview": true }))
        .await
        .is(200);
    assert_eq!(preview.body["orphaned"][0]["id"], id);
    clinic.delete(&closure).await.is(404);
    clinic
        .put(&closure, json!({ "reason": "Storm" }))
        .await
        .is(200);
    let other = clinic.patient().await;
    let closed = clinic
        .book(&other, &service, &[&clinician], &at(3, "11:00"))
        .await
        .is(409);
    assert_eq!(closed.reasons(), ["CLOSED"]);
    clinic.delete(&closure).await.is(204);
    let read = clinic.get(&format!("/api/appointments/{id}")).await.is(200);
    assert_eq!(read.body["orphaned"], false);
    let exception = format!("/api/resources/{clinician}/exceptions/{}", in_days(3));
    let hours = json!({ "hours": [{ "from": "12:00", "to": "13:00" }] });
    let changed = clinic.put(&exception, hours).await.is(200);
    assert_eq!(changed.body["orphaned"][0]["id"], id);
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
    assert_eq!(
        changes,
        ["BOOKED", "ORPHANED", "NO_LONGER_ORPHANED", "ORPHANED"]
    );
    clinic.must_be_consistent().await;
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn an_absence_can_be_seen_and_taken_back(database: PgPool) {
    let clinic = Clinic::new(database);
    let location = clinic.location("UTC").await;
    let clinician = clinic.clinician(&location, "09:00", "17:00").await;
    let service = clinic.service(json!({})).await;
    let patient = clinic.patient().await;
    let id = clinic
        .book(&patient, &service, &[&clinician], &at(3, "10:00"))
        .await
        .is(201)
        .id();
    let path = format!("/api/resources/{clinician}/absences");
    let absence = json!({ "from": at(3, "09:00"), "to": at(3, "12:00"), "reason": "Dentist" });
    let recorded = clinic.post(&path, absence).await.is(201).id();
    let list = clinic.get(&path).await.is(200);
    assert_eq!(list.body["absences"][0]["id"], recorded);
    clinic.delete(&format!("{path}/{recorded}")).await.is(204);
    clinic.delete(&format!("{path}/{recorded}")).await.is(404);
    let read = clinic.get(&format!("/api/appointments/{id}")).await.is(200);
    assert_eq!(read.body["orphaned"], false);
    let exception = format!("/api/resources/{clinician}/exceptions/{}", in_days(3));
    clinic.put(&exception, json!({ "hours": [] })).await.is(200);
    clinic.delete(&exception).await.is(204);
    clinic.delete(&exception).await.is(404);
    let read = clinic.get(&format!("/api/appointments/{id}")).await.is(200);
    assert_eq!(read.body["orphaned"], false);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn whoever_is_shown_is_on_record(database: PgPool) {
    let clinic = Clinic::new(database);
    let location = clinic.location("UTC").await;
    let clinician = clinic.clinician(&location, "00:00", "24:00").await;
    let service = clinic
        .service(json!({ "gridMinutes": 5, "durationMinutes": 5 }))
        .await;
    let mut patients = Vec::new();
    for place in 0..104 {
        let patient = clinic.patient().await;
        let start = at(3, &format!("{:02}:{:02}", place / 12, place % 12 * 5));
        clinic
            .book(&patient, &service, &[&clinician], &start)
            .await
            .is(201);
        patients.push(patient);
    }
    // The last one in the order of ids.
    patients.sort_unstable();
    sqlx::query("UPDATE patients.patient SET restricted = true WHERE id = $1::uuid")
        .bind(patients.last())
        .execute(&clinic.database)
        .await
        .unwrap();
    let doctor = clinic.acting_as(identity::Role::Clinician);
    let path = format!("/api/resources/{clinician}/absences");
    for preview in [true, false] {
        let absence = json!({ "from": at(3, "00:00"), "to": at(4, "00:00"), "reason": "Ill", "preview": preview });
        let shown = doctor.post(&path, absence).await;
        let shown = shown.body["appointments"].as_array().unwrap().len();
        let recorded: i64 = sqlx::query_scalar(
            "SELECT count(DISTINCT patient) FROM audit.record, unnest(patient_ids) AS patient
             WHERE action = 'RECORD_ABSENCE' AND patient <> $1::uuid",
        )
        .bind(patients.last())
        .fetch_one(&clinic.database)
        .await
        .unwrap();
        assert_eq!((shown, recorded), (103, 103), "preview: {preview}");
    }
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn whoever_was_booked_against_the_hours_is_nobodys_orphan(database: PgPool) {
    let clinic = Clinic::new(database);
    let location = clinic.location("UTC").await;
    let clinician = clinic.clinician(&location, "09:00", "12:00").await;
    let service = clinic.service(json!({})).await;
    let overbooked = async |start: &str| {
        let booking = json!({
            "patientId": clinic.patient().await, "serviceId": service, "resourceIds": [clinician],
            "start": start, "overbookingReason": "Acute pain",
        });
        clinic.post("/api/appointments", booking).await.is(201).id()
    };
    clinic
        .book(
            &clinic.patient().await,
            &service,
            &[&clinician],
            &at(3, "09:00"),
        )
        .await
        .is(201);
    let attended = overbooked(&at(3, "09:00")).await;
    let at_night = overbooked(&at(3, "22:00")).await;
    let absence = json!({ "from": at(3, "00:00"), "to": at(4, "00:00"), "reason": "Ill" });
    let path = format!("/api/resources/{clinician}/absences");
    let recorded = clinic.post(&path, absence).await.is(201);
    assert_eq!(recorded.body["appointments"].as_array().unwrap().len(), 2);
    for (id, orphaned) in [(&attended, true), (&at_night, false)] {
        let read = clinic.get(&format!("/api/appointments/{id}")).await.is(200);
        assert_eq!(read.body["orphaned"], orphaned);
    }
    // Somebody may decide that it stays where it is.
    let stays = json!({ "start": at(3, "09:00"), "overbookingReason": "A colleague steps in" });
    let stays = clinic.change(&attended, "reschedule", stays).await.is(200);
    assert_eq!(
        (&stays.body["orphaned"], &stays.body["sequence"]),
        (&json!(false), &json!(0))
    );
    assert_eq!(stays.body["overbooking"]["reason"], "A colleague steps in");
}
