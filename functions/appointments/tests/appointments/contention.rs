//! Many who want the same at once.

use futures::future::join_all;
use serde_json::json;
use sqlx::PgPool;

use crate::clinic::{Clinic, at};

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn of_many_who_want_a_slot_one_gets_it(database: PgPool) {
    let clinic = Clinic::new(database);
    let location = clinic.location("UTC").await;
    let clinician = clinic.clinician(&location, "09:00", "17:00").await;
    let service = clinic.service(json!({})).await;
    let group = clinic.service(json!({ "capacity": 3 })).await;
    let patients = join_all((0..40).map(|_| clinic.patient())).await;
    for (service, start, places) in [(&service, "09:00", 1), (&group, "10:00", 3)] {
        let start = at(3, start);
        let with = [clinician.as_str()];
        let answers = patients
            .iter()
            .map(|patient| clinic.book(patient, service, &with, &start));
        let answers = join_all(answers).await;
        let with = |status: u16| {
            answers
                .iter()
                .filter(|one| one.status.as_u16() == status)
                .count()
        };
        assert_eq!((with(201), with(409)), (places, 40 - places));
    }
    clinic.must_be_consistent().await;
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn two_resources_in_either_order_never_wait_for_each_other(database: PgPool) {
    let clinic = Clinic::new(database);
    let location = clinic.location("UTC").await;
    let clinician = clinic.clinician(&location, "00:00", "24:00").await;
    let room = clinic.resource("ROOM", &location).await;
    clinic.works(&room, "00:00", "24:00").await;
    let service = clinic
        .service(json!({ "resourceKinds": ["CLINICIAN", "ROOM"], "gridMinutes": 10 }))
        .await;
    let patients = join_all((0..8).map(|_| clinic.patient())).await;
    for round in 0..12 {
        // Every two of them overlap in part.
        let wishes = patients.iter().enumerate().map(|(place, patient)| {
            let minutes = round * 60 + (place % 4) * 10;
            let start = at(4, &format!("{:02}:{:02}", minutes / 60, minutes % 60));
            let with = if place % 2 == 0 {
                [&clinician, &room]
            } else {
                [&room, &clinician]
            };
            let (clinic, service) = (&clinic, &service);
            async move {
                clinic
                    .book(patient, service, &with.map(String::as_str), &start)
                    .await
            }
        });
        for answer in join_all(wishes).await {
            assert!(
                [201, 409].contains(&answer.status.as_u16()),
                "{}",
                answer.text
            );
        }
    }
    clinic.must_be_consistent().await;
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn bookings_moves_cancellations_and_absences_race_without_a_trace(database: PgPool) {
    let clinic = Clinic::new(database);
    let location = clinic.location("UTC").await;
    let clinician = clinic.clinician(&location, "00:00", "24:00").await;
    let service = clinic.service(json!({})).await;
    let patients = join_all((0..10).map(|_| clinic.patient())).await;
    let booked = patients.iter().enumerate().map(|(place, patient)| {
        let start = at(4, &format!("{place:02}:00"));
        let (clinic, service, with) = (&clinic, &service, [clinician.as_str()]);
        async move {
            clinic
                .book(patient, service, &with, &start)
                .await
                .is(201)
                .id()
        }
    });
    let booked = join_all(booked).await;
    let work = booked.iter().enumerate().map(|(place, id)| {
        let clinic = &clinic;
        let clinician = &clinician;
        async move {
            let next = at(4, &format!("{:02}:00", (place + 1) % 10));
            let moved = clinic
                .change(id, "reschedule", json!({ "start": next }))
                .await;
            assert!(
                [200, 409].contains(&moved.status.as_u16()),
                "{}",
                moved.text
            );
            if place % 3 == 0 {
                let cancelled = clinic.change(id, "cancel", json!({ "reason": "x" })).await;
                assert!(
                    [200, 409].contains(&cancelled.status.as_u16()),
                    "{}",
                    cancelled.text
                );
            }
            if place % 4 == 0 {
                let absence =
                    json!({ "from": at(4, "03:00"), "to": at(4, "05:00"), "reason": "Ill" });
                let path = format!("/api/resources/{clinician}/absences");
                clinic.post(&path, absence).await.is(201);
            }
        }
    });
    join_all(work).await;
    clinic.must_be_consistent().await;
    // Whoever is there during the absence is marked, and nobody else.
    let wrong: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM appointments.appointment
         WHERE status = 'BOOKED' AND orphaned <> EXISTS (
             SELECT FROM appointments.absence AS away
             WHERE away.starts_at < appointment.ends_at AND away.ends_at > appointment.starts_at
         )",
    )
    .fetch_one(&clinic.database)
    .await
    .unwrap();
    assert_eq!(wrong, 0);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn who_gives_way_to_others_gets_the_slot_all_the_same(database: PgPool) {
    let clinic = Clinic::new(database);
    let location = clinic.location("UTC").await;
    let clinician = clinic.clinician(&location, "09:00", "17:00").await;
    let service = clinic.service(json!({})).await;
    let patient = clinic.patient().await;
    // As if PostgreSQL chose this transaction of two that wait for each other.
    for statement in [
        "CREATE SEQUENCE appointments.attempt",
        "CREATE FUNCTION appointments.give_way() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN
             IF nextval('appointments.attempt') = 1 THEN
                 RAISE 'deadlock detected' USING ERRCODE = 'deadlock_detected';
             END IF;
             RETURN NEW;
         END $$",
        "CREATE TRIGGER give_way BEFORE INSERT ON appointments.appointment
             FOR EACH ROW EXECUTE FUNCTION appointments.give_way()",
    ] {
        sqlx::query(statement)
            .execute(&clinic.database)
            .await
            .unwrap();
    }
    let with = [clinician.as_str()];
    let booked = clinic
        .book(&patient, &service, &with, &at(3, "09:00"))
        .await;
    booked.is(201);
    let attempts: i64 = sqlx::query_scalar("SELECT last_value FROM appointments.attempt")
        .fetch_one(&clinic.database)
        .await
        .unwrap();
    assert_eq!(attempts, 2);
    clinic.must_be_consistent().await;
}
