//! Booking a slot.

use identity::Role;
use serde_json::json;
use sqlx::PgPool;
use uuid::Uuid;

use crate::clinic::{Clinic, at, in_days};

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn an_appointment_is_booked_announced_and_on_record(database: PgPool) {
    let clinic = Clinic::new(database);
    let location = clinic.location("Europe/London").await;
    let clinician = clinic.clinician(&location, "00:00", "24:00").await;
    let service = clinic
        .service(json!({ "code": "GP-30", "bufferAfterMinutes": 10 }))
        .await;
    let patient = clinic.patient().await;
    let answer = clinic
        .book(&patient, &service, &[&clinician], "2027-06-01T12:00:00Z")
        .await
        .is(201);
    let appointment = &answer.body;
    assert_eq!(appointment["status"], "BOOKED");
    assert_eq!(appointment["end"], "2027-06-01T12:30:00Z");
    assert_eq!(appointment["localStart"], "2027-06-01T13:00:00+01:00");
    assert_eq!(appointment["timeZone"], "Europe/London");
    assert_eq!(appointment["locationId"], location);
    assert_eq!(
        (appointment["version"].as_i64(), answer.etag.as_deref()),
        (Some(1), Some("\"1\""))
    );
    let read = clinic
        .get(&format!("/api/appointments/{}", answer.id()))
        .await
        .is(200);
    assert_eq!(read.body, *appointment);

    let events = clinic.announced(&answer.id()).await;
    let [event] = &events[..] else {
        panic!("{events:?}")
    };
    assert_eq!(event.change.kind(), "booked");
    assert_eq!(event.patient_id.to_string(), patient);
    assert_eq!(event.appointment.service_code, "GP-30");
    assert_eq!(
        event.appointment.clinician_ids,
        event.appointment.resource_ids
    );
    assert_eq!(
        event.appointment.local_start.to_string(),
        "2027-06-01 13:00:00"
    );
    assert_eq!(event.appointment.reminder_minutes, [2880, 120]);
    let recorded: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM audit.record
         WHERE action = 'BOOK_APPOINTMENT' AND outcome = 'SUCCEEDED'
             AND patient_ids = ARRAY[$1::uuid] AND resource_type = 'APPOINTMENT' AND resource_id = $2::uuid",
    )
    .bind(Uuid::parse_str(&patient).unwrap())
    .bind(Uuid::parse_str(&answer.id()).unwrap())
    .fetch_one(&clinic.database)
    .await
    .unwrap();
    assert_eq!(recorded, 1);
    clinic.must_be_consistent().await;
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn the_second_of_two_learns_of_everything_in_the_way(database: PgPool) {
    let clinic = Clinic::new(database);
    let location = clinic.location("UTC").await;
    let clinician = clinic.clinician(&location, "09:00", "17:00").await;
    let room = clinic.resource("ROOM", &location).await;
    clinic.works(&room, "09:00", "10:00").await;
    let service = clinic
        .service(json!({ "resourceKinds": ["CLINICIAN", "ROOM"], "durationMinutes": 60 }))
        .await;
    let first = clinic.patient().await;
    let with = [clinician.as_str(), room.as_str()];
    let booked = clinic
        .book(&first, &service, &with, &at(3, "09:00"))
        .await
        .is(201);
    let second = clinic.patient().await;
    let answer = clinic
        .book(&second, &service, &with, &at(3, "09:30"))
        .await
        .is(409);
    assert_eq!(answer.problem(), "slot-taken");
    assert_eq!(answer.reasons(), ["TAKEN", "OUTSIDE_HOURS", "TAKEN"]);
    assert_eq!(answer.body["conflicts"][0]["resourceId"], clinician);
    assert_eq!(answer.body["conflicts"][0]["appointmentId"], booked.id());
    assert_eq!(answer.body["conflicts"][0]["start"], at(3, "09:00"));
    let again = clinic
        .book(&first, &service, &with, &at(3, "09:00"))
        .await
        .is(409);
    assert_eq!(
        again.reasons(),
        ["TAKEN", "TAKEN", "PATIENT_BUSY"],
        "all at once"
    );
    // The patient cannot be in two places.
    let other = clinic.clinician(&location, "09:00", "17:00").await;
    let alone = clinic.service(json!({})).await;
    let answer = clinic
        .book(&first, &alone, &[&other], &at(3, "09:30"))
        .await
        .is(409);
    assert_eq!(answer.reasons(), ["PATIENT_BUSY"]);
    clinic
        .book(&first, &alone, &[&other], &at(3, "10:00"))
        .await
        .is(201);
    clinic.must_be_consistent().await;
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_time_must_be_one_that_the_service_is_offered_at(database: PgPool) {
    let clinic = Clinic::new(database);
    let location = clinic.location("America/New_York").await;
    let clinician = clinic.clinician(&location, "00:00", "24:00").await;
    let service = clinic
        .service(json!({ "noticeMinutes": 60, "horizonDays": 400 }))
        .await;
    let patient = clinic.patient().await;
    for (start, status, problem) in [
        ("2020-01-01T10:00:00Z", 422, "not-bookable"),
        ("2031-01-01T10:00:00Z", 422, "not-bookable"),
        ("2027-03-14T10:10:00Z", 422, "not-bookable"),
        ("2027-03-14T02:30:00", 422, "nonexistent-local-time"),
        ("2027-03-14T02:30:00-05:00", 422, "nonexistent-local-time"),
        ("2027-11-07T01:30:00", 422, "ambiguous-local-time"),
        ("2027-03-14", 400, "invalid-input"),
        ("2027-03-14T10:00:01Z", 400, "invalid-input"),
        ("soon", 400, "invalid-input"),
        ("2027-03-14T03:30:00", 201, ""),
        ("2027-11-07T01:30:00-04:00", 201, ""),
        ("2027-11-07T01:30:00-05:00", 201, ""),
    ] {
        let answer = clinic
            .book(&patient, &service, &[&clinician], start)
            .await
            .is(status);
        assert_eq!(answer.problem(), problem, "{start}: {}", answer.text);
    }
    let soon = chrono::Utc::now() + chrono::TimeDelta::minutes(31);
    let soon = soon.format("%Y-%m-%dT%H:%M:00Z").to_string();
    clinic
        .book(&patient, &service, &[&clinician], &soon)
        .await
        .is(422);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn resources_must_fit_the_service(database: PgPool) {
    let clinic = Clinic::new(database);
    let location = clinic.location("UTC").await;
    let clinician = clinic.clinician(&location, "09:00", "17:00").await;
    let other = clinic.clinician(&location, "09:00", "17:00").await;
    let room = clinic.resource("ROOM", &location).await;
    let elsewhere = clinic.location("UTC").await;
    let far_away = clinic.resource("ROOM", &elsewhere).await;
    let alone = clinic.service(json!({})).await;
    let with_room = clinic
        .service(json!({ "resourceKinds": ["CLINICIAN", "ROOM"] }))
        .await;
    let patient = clinic.patient().await;
    let unknown = Uuid::now_v7().to_string();
    for (service, with) in [
        (&alone, vec![&room]),
        (&alone, vec![&clinician, &other]),
        (&alone, vec![&clinician, &clinician]),
        (&alone, vec![&unknown]),
        (&with_room, vec![&clinician, &far_away]),
    ] {
        let with: Vec<&str> = with.into_iter().map(String::as_str).collect();
        let answer = clinic
            .book(&patient, service, &with, &at(3, "09:00"))
            .await
            .is(400);
        assert!(
            answer.body["errors"]["resourceIds"].is_string(),
            "{}",
            answer.text
        );
    }
    clinic
        .book(&unknown, &alone, &[&clinician], &at(3, "09:00"))
        .await
        .is(404);
    clinic
        .book(&patient, &unknown, &[&clinician], &at(3, "09:00"))
        .await
        .is(404);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn without_a_resource_the_least_busy_is_chosen(database: PgPool) {
    let clinic = Clinic::new(database);
    let location = clinic.location("UTC").await;
    let one = clinic.clinician(&location, "09:00", "17:00").await;
    let two = clinic.clinician(&location, "09:00", "17:00").await;
    let service = clinic.service(json!({})).await;
    let mut chosen = Vec::new();
    for _ in 0..2 {
        let patient = clinic.patient().await;
        let answer = clinic
            .book(&patient, &service, &[], &at(3, "09:00"))
            .await
            .is(201);
        chosen.push(answer.body["resourceIds"][0].as_str().unwrap().to_owned());
    }
    chosen.sort_unstable();
    let mut both = vec![one, two];
    both.sort_unstable();
    assert_eq!(chosen, both);
    let third = clinic.patient().await;
    let answer = clinic
        .book(&third, &service, &[], &at(3, "09:00"))
        .await
        .is(409);
    assert_eq!(answer.reasons(), ["TAKEN", "TAKEN"]);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_group_has_as_many_places_as_its_capacity(database: PgPool) {
    let clinic = Clinic::new(database);
    let location = clinic.location("UTC").await;
    let clinician = clinic.clinician(&location, "09:00", "17:00").await;
    let group = clinic.service(json!({ "capacity": 3 })).await;
    let alone = clinic.service(json!({})).await;
    let other_group = clinic.service(json!({ "capacity": 2 })).await;
    let mut booked = Vec::new();
    for _ in 0..3 {
        let patient = clinic.patient().await;
        booked.push(
            clinic
                .book(&patient, &group, &[&clinician], &at(3, "09:00"))
                .await
                .is(201)
                .id(),
        );
    }
    let late = clinic.patient().await;
    let full = clinic
        .book(&late, &group, &[&clinician], &at(3, "09:00"))
        .await
        .is(409);
    assert_eq!(full.reasons(), ["TAKEN", "TAKEN", "TAKEN"]);
    clinic
        .change(&booked[0], "cancel", json!({ "reason": "x" }))
        .await
        .is(200);
    for service in [&alone, &other_group] {
        clinic
            .book(&late, service, &[&clinician], &at(3, "09:00"))
            .await
            .is(409);
    }
    clinic
        .book(&late, &group, &[&clinician], &at(3, "09:00"))
        .await
        .is(201);
    let slots = clinic.slots(&group, &in_days(3), &in_days(3), "").await;
    assert!(!slots.contains(&at(3, "09:00")));
    clinic.must_be_consistent().await;
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn what_is_not_free_is_booked_only_with_permission_and_a_reason(database: PgPool) {
    let clinic = Clinic::new(database);
    let location = clinic.location("UTC").await;
    let clinician = clinic.clinician(&location, "09:00", "10:00").await;
    let service = clinic.service(json!({})).await;
    let (first, second, third) = (
        clinic.patient().await,
        clinic.patient().await,
        clinic.patient().await,
    );
    clinic
        .book(&first, &service, &[&clinician], &at(3, "09:00"))
        .await
        .is(201);
    let overbooking = |patient: &str, start: &str| {
        json!({
            "patientId": patient, "serviceId": service, "resourceIds": [clinician],
            "start": start, "overbookingReason": "Acute pain",
        })
    };
    let receptionist = clinic.acting_as(Role::Receptionist);
    receptionist
        .post("/api/appointments", overbooking(&second, &at(3, "09:00")))
        .await
        .is(403);
    let doctor = clinic.acting_as(Role::Clinician);
    let answer = doctor
        .post("/api/appointments", overbooking(&second, &at(3, "09:00")))
        .await
        .is(201);
    assert_eq!(answer.body["overbooking"]["reason"], "Acute pain");
    let answer = doctor
        .post("/api/appointments", overbooking(&third, &at(3, "20:00")))
        .await
        .is(201);
    assert_eq!(answer.body["status"], "BOOKED");
    let long = json!({ "patientId": third, "serviceId": service, "start": at(3, "09:00"), "overbookingReason": "x".repeat(201) });
    doctor.post("/api/appointments", long).await.is(400);
    doctor
        .post(
            "/api/appointments",
            overbooking(&third, "2020-01-01T09:00:00Z"),
        )
        .await
        .is(422);
    clinic.must_be_consistent().await;
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn the_same_key_books_once(database: PgPool) {
    let clinic = Clinic::new(database);
    let location = clinic.location("UTC").await;
    let clinician = clinic.clinician(&location, "09:00", "17:00").await;
    let service = clinic.service(json!({})).await;
    let patient = clinic.patient().await;
    let keyed = clinic.with_key("a-key");
    let first = keyed
        .book(&patient, &service, &[&clinician], &at(3, "09:00"))
        .await
        .is(201);
    let again = keyed
        .book(&patient, &service, &[&clinician], &at(3, "09:00"))
        .await
        .is(201);
    assert!(again.replayed && !first.replayed);
    assert_eq!(again.text, first.text);
    let other = keyed
        .book(&patient, &service, &[&clinician], &at(3, "10:00"))
        .await
        .is(422);
    assert_eq!(other.problem(), "idempotency-key-reused");
    let id = first.id();
    let cancelling = clinic.with_key("another");
    let cancelled = cancelling
        .change(&id, "cancel", json!({ "reason": "x" }))
        .await
        .is(200);
    let again = cancelling
        .change(&id, "cancel", json!({ "reason": "x" }))
        .await
        .is(200);
    assert_eq!((again.text, again.replayed), (cancelled.text, true));
    assert_eq!(clinic.heard(&id).await, ["booked", "cancelled"]);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn the_sessions_of_a_group_do_not_overlap(database: PgPool) {
    let clinic = Clinic::new(database);
    let location = clinic.location("UTC").await;
    let clinician = clinic.clinician(&location, "09:00", "17:00").await;
    let group = clinic
        .service(json!({ "capacity": 3, "bufferAfterMinutes": 15 }))
        .await;
    let (one, other) = (clinic.patient().await, clinic.patient().await);
    clinic
        .book(&one, &group, &[&clinician], &at(3, "10:00"))
        .await
        .is(201);
    // Within the buffer of the session before, which has places left.
    clinic
        .book(&other, &group, &[&clinician], &at(3, "10:30"))
        .await
        .is(409);
    let slots = clinic.slots(&group, &in_days(3), &in_days(3), "").await;
    assert!(slots.contains(&at(3, "10:00")) && !slots.contains(&at(3, "10:30")));
    assert!(!slots.contains(&at(3, "09:30")) && slots.contains(&at(3, "11:00")));
    clinic
        .book(&other, &group, &[&clinician], &at(3, "10:00"))
        .await
        .is(201);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn whoever_is_there_comes_before_whoever_is_not(database: PgPool) {
    let clinic = Clinic::new(database);
    let location = clinic.location("UTC").await;
    let there = clinic.clinician(&location, "00:00", "24:00").await;
    let away = clinic.resource("CLINICIAN", &location).await;
    let service = clinic.service(json!({})).await;
    clinic
        .book(
            &clinic.patient().await,
            &service,
            &[&there],
            &at(3, "09:00"),
        )
        .await
        .is(201);
    let booking = json!({
        "patientId": clinic.patient().await, "serviceId": service, "start": at(3, "09:00"),
        "overbookingReason": "Acute pain",
    });
    let answer = clinic.post("/api/appointments", booking).await.is(201);
    assert_eq!(answer.body["resourceIds"], json!([there]));
    let walk_in =
        json!({ "patientId": clinic.patient().await, "serviceId": service, "walkIn": true });
    let answer = clinic.post("/api/appointments", walk_in).await.is(201);
    assert_eq!(answer.body["resourceIds"], json!([there]), "and not {away}");
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_wall_time_is_looked_for_where_the_patient_is_free(database: PgPool) {
    let clinic = Clinic::new(database);
    let london = clinic.location("Europe/London").await;
    let new_york = clinic.location("America/New_York").await;
    let there = clinic.clinician(&london, "09:00", "17:00").await;
    let other = clinic.service(json!({})).await;
    let patient = clinic.patient().await;
    let start = format!("{}T09:00:00", in_days(4));
    clinic
        .book(&patient, &other, &[&there], &start)
        .await
        .is(201);
    let far = clinic.clinician(&new_york, "09:00", "17:00").await;
    let booking = json!({ "patientId": patient, "serviceId": other, "start": start });
    let answer = clinic.post("/api/appointments", booking).await.is(201);
    assert_eq!(answer.body["resourceIds"], json!([far]));
}
