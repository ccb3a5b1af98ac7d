//! What a consumer of appointment events remembers.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use chrono::{DateTime, TimeDelta, Utc};
use events::{Appointment, AppointmentChange, AppointmentEvent, Effect, seen};
use store::{Table, TransactionError, testing};
use uuid::Uuid;

const DAYS_30: TimeDelta = TimeDelta::days(30);

fn event(version: i64, ends_at: DateTime<Utc>) -> AppointmentEvent {
    let starts_at = ends_at - TimeDelta::minutes(30);
    AppointmentEvent {
        id: Uuid::now_v7(),
        occurred_at: Utc::now(),
        appointment_id: Uuid::now_v7(),
        appointment_version: version,
        patient_id: Uuid::now_v7(),
        appointment: Appointment {
            service_id: Uuid::now_v7(),
            service_code: "CONSULT-30".to_owned(),
            location_id: Uuid::now_v7(),
            resource_ids: vec![Uuid::now_v7()],
            clinician_ids: Vec::new(),
            starts_at,
            ends_at,
            time_zone: "Etc/UTC".to_owned(),
            local_start: starts_at.naive_utc(),
            sequence: 0,
            created_at: starts_at,
            reminder_minutes: Vec::new(),
        },
        change: AppointmentChange::Booked,
    }
}

/// A later event of the same appointment.
fn next(event: &AppointmentEvent) -> AppointmentEvent {
    AppointmentEvent {
        id: Uuid::now_v7(),
        appointment_version: event.appointment_version + 1,
        ..event.clone()
    }
}

async fn see(table: &Table, event: &AppointmentEvent) -> Effect {
    let mark = seen::mark(table, event).unwrap();
    match table.transact(vec![mark]).await {
        Ok(()) => Effect::Applied,
        Err(TransactionError::Refused(reasons)) => {
            seen::effect_of_refusal(reasons.first(), event).unwrap()
        }
        Err(error) => panic!("{error}"),
    }
}

async fn mark_of(table: &Table, appointment_id: Uuid) -> HashMap<String, AttributeValue> {
    let get = table.client().await.get_item().table_name(table.name());
    let mark = get
        .key("pk", AttributeValue::S(seen::partition(appointment_id)))
        .key("sk", AttributeValue::S(seen::SORT.to_owned()))
        .send()
        .await
        .unwrap();
    mark.item.unwrap()
}

#[tokio::test]
async fn each_appointment_has_a_mark_that_never_goes_back() {
    let table = testing::table().await;
    let booked = event(3, Utc::now());
    let moved = next(&booked);
    let other = AppointmentEvent {
        patient_id: booked.patient_id,
        ..event(1, Utc::now())
    };
    assert_eq!(see(&table, &moved).await, Effect::Applied);
    assert_eq!(see(&table, &moved).await, Effect::AlreadyApplied);
    assert_eq!(see(&table, &booked).await, Effect::OutOfDate);
    assert_eq!(see(&table, &other).await, Effect::Applied);
    let mark = mark_of(&table, moved.appointment_id).await;
    assert_eq!(
        mark["appointmentVersion"],
        AttributeValue::N("4".to_owned())
    );
    assert_eq!(mark["eventId"], AttributeValue::S(moved.id.to_string()));
}

#[tokio::test]
async fn every_mark_of_an_appointment_expires_after_it_and_after_the_event() {
    let table = testing::table().await;
    let now = Utc::now();
    for (ends_at, later) in [
        (now + TimeDelta::days(200), now + TimeDelta::days(200)),
        (now - TimeDelta::days(200), now),
    ] {
        let event = event(1, ends_at);
        assert_eq!(see(&table, &event).await, Effect::Applied);
        let mark = mark_of(&table, event.appointment_id).await;
        let expires_at: i64 = mark["expiresAt"].as_n().unwrap().parse().unwrap();
        let expected = (later + DAYS_30).timestamp();
        assert!((expected..expected + 60).contains(&expires_at), "{mark:?}");
    }
}
