//! What happens when the rules of a time zone change.

use std::time::{Duration, Instant};

use appointments::booking::reproject_appointments::reproject_appointments;
use events::AppointmentChange;
use serde_json::json;
use sqlx::PgPool;

use crate::clinic::Clinic;

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn appointments_keep_their_time_on_the_clock(database: PgPool) {
    let clinic = Clinic::new(database);
    let location = clinic.location("America/Vancouver").await;
    let clinician = clinic.clinician(&location, "09:00", "17:00").await;
    let service = clinic.service(json!({})).await;
    let mut ids = Vec::new();
    for start in [
        "2027-01-12T12:00:00",
        "2027-01-12T12:30:00",
        "2027-01-12T13:00:00",
        "2027-07-01T12:00:00",
    ] {
        let patient = clinic.patient().await;
        ids.push(
            clinic
                .book(&patient, &service, &[&clinician], start)
                .await
                .is(201)
                .id(),
        );
    }
    // As they would have been booked with the zone data of 2025: an hour later in winter.
    for statement in [
        "UPDATE appointments.appointment SET zone_data = '2025b'",
        "ALTER TABLE appointments.occupancy DROP CONSTRAINT occupancy_exclusive",
        "UPDATE appointments.occupancy SET during = tstzrange(lower(during) + interval '1 hour', upper(during) + interval '1 hour')
         WHERE lower(during) < '2027-06-01'",
        "UPDATE appointments.appointment SET starts_at = starts_at + interval '1 hour', ends_at = ends_at + interval '1 hour'
         WHERE starts_at < '2027-06-01'",
        "ALTER TABLE appointments.occupancy ADD CONSTRAINT occupancy_exclusive EXCLUDE USING gist (
             int4range(resource_number, resource_number, '[]') WITH &&, seats WITH &&, during WITH &&)",
    ] {
        sqlx::query(statement).execute(&clinic.database).await.unwrap();
    }
    let until = || Instant::now() + Duration::from_mins(1);
    let done = reproject_appointments(&clinic.database, until())
        .await
        .unwrap();
    let done = serde_json::to_value(&done).unwrap();
    assert_eq!(done["moved"].as_array().unwrap().len(), 3, "{done}");
    assert_eq!(
        (&done["unchanged"], &done["unfinished"]),
        (&json!(1), &json!(false))
    );
    for (id, start, heard) in [
        (&ids[0], "2027-01-12T19:00:00Z", 2),
        (&ids[1], "2027-01-12T19:30:00Z", 2),
        (&ids[2], "2027-01-12T20:00:00Z", 2),
        (&ids[3], "2027-07-01T19:00:00Z", 1),
    ] {
        let read = clinic.get(&format!("/api/appointments/{id}")).await.is(200);
        assert_eq!(read.body["start"], start);
        let events = clinic.announced(id).await;
        assert_eq!(events.len(), heard);
        if let Some(AppointmentChange::Rescheduled {
            by_time_zone_rules, ..
        }) = events.get(1).map(|event| &event.change)
        {
            assert!(by_time_zone_rules);
        }
    }
    clinic.must_be_consistent().await;
    let again = reproject_appointments(&clinic.database, until())
        .await
        .unwrap();
    let again = serde_json::to_value(&again).unwrap();
    assert_eq!(
        (&again["moved"], &again["unchanged"]),
        (&json!([]), &json!(0))
    );
}
