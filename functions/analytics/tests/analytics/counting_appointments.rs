//! Each appointment is counted once, as what it is now, on the day that it is for.

use analytics::count_appointment_events::CountError;
use api::ClinicTimeZone;
use aws_sdk_dynamodb::types::AttributeValue;
use chrono::Utc;
use events::{AppointmentChange, AppointmentEvent, Effect};
use futures::future::join_all;
use serde_json::json;
use store::{Table, testing};
use uuid::Uuid;

use crate::appointment_events::{
    ARRIVED, CANCELLED, CORRECTED, WALKED_IN, booked, count, count_all, figures, group, in_zone,
    instant, moved, next, starts,
};

const MARCH: &str = "?from=2026-03-01&to=2026-03-31";
const BOOKED_AT: &str = "2026-03-02T08:00:00Z";
const NINE: &str = "2026-03-10T09:00:00";

/// What the figures say of an appointment on 10 March: in the order of its states.
async fn states(table: &Table) -> [u64; 5] {
    let body = figures(table, "?from=2026-03-10&to=2026-03-10").await;
    ["booked", "arrived", "fulfilled", "noShow", "cancelled"]
        .map(|name| body["totals"][name].as_u64().unwrap())
}

#[tokio::test]
async fn an_appointment_moves_from_one_state_to_another() {
    let table = testing::table().await;
    let booking = booked(BOOKED_AT, NINE, "Etc/UTC");
    count_all(&table, std::slice::from_ref(&booking)).await;
    assert_eq!(states(&table).await, [1, 0, 0, 0, 0]);
    let missed = next(&booking, "2026-03-10T12:00:00Z", AppointmentChange::NoShow);
    count_all(&table, std::slice::from_ref(&missed)).await;
    assert_eq!(states(&table).await, [0, 0, 0, 1, 0]);
    let corrected = next(&missed, "2026-03-10T12:05:00Z", CORRECTED);
    count_all(&table, std::slice::from_ref(&corrected)).await;
    assert_eq!(states(&table).await, [0, 1, 0, 0, 0]);
    let done = next(
        &corrected,
        "2026-03-10T12:30:00Z",
        AppointmentChange::Fulfilled,
    );
    count_all(&table, std::slice::from_ref(&done)).await;
    assert_eq!(states(&table).await, [0, 0, 1, 0, 0]);
    let body = figures(&table, MARCH).await;
    assert_eq!(body["totals"]["appointments"], 1);
    assert_eq!(body["totals"]["noShowRate"], 0.0);
    assert_eq!(
        body["totals"]["minutes"],
        json!({ "booked": 30, "occupied": 30 })
    );
}

#[tokio::test]
async fn a_move_takes_it_to_another_day_and_the_activity_stays() {
    let table = testing::table().await;
    let booking = booked(BOOKED_AT, NINE, "Etc/UTC");
    let later = moved(&booking, "2026-03-04T08:00:00Z", "2026-03-20T14:00:00");
    let cancelled = next(&later, "2026-03-05T08:00:00Z", CANCELLED);
    count_all(&table, &[booking, later]).await;
    let body = figures(&table, MARCH).await;
    let of = |day: &str| group(&body, day);
    assert_eq!(of("2026-03-10")["appointments"], 0);
    let there = of("2026-03-20");
    assert_eq!([&there["booked"], &there["rescheduled"]], [1, 1]);
    assert_eq!(there["leadTimeDays"]["average"], 18.0);
    assert_eq!(of("2026-03-02")["activity"]["booked"], 1);
    assert_eq!(of("2026-03-04")["activity"]["rescheduled"], 1);

    count_all(&table, &[cancelled]).await;
    let body = figures(&table, MARCH).await;
    let there = group(&body, "2026-03-20");
    assert_eq!([&there["booked"], &there["cancelled"]], [0, 1]);
    assert_eq!(there["minutes"]["booked"], 0);
    assert_eq!(there["leadTimeDays"]["average"], json!(null));
    let made = json!({ "booked": 1, "rescheduled": 1, "cancelled": 1 });
    assert_eq!(body["totals"]["activity"], made);
    assert_eq!(group(&body, "2026-03-05")["activity"]["cancelled"], 1);
}

#[tokio::test]
async fn new_zone_rules_move_it_and_nobody_has_moved_it() {
    let table = testing::table().await;
    let booking = booked(BOOKED_AT, NINE, "Etc/UTC");
    let change = AppointmentChange::Rescheduled {
        started_at: booking.appointment.starts_at,
        ended_at: booking.appointment.ends_at,
        by_time_zone_rules: true,
        location_id: Uuid::nil(),
    };
    let mut later = next(&booking, "2026-03-04T08:00:00Z", change);
    starts(&mut later.appointment, "2026-03-10T10:00:00", 30);
    let orphaned = next(&later, "2026-03-04T09:00:00Z", AppointmentChange::Orphaned);
    count_all(&table, &[booking, later, orphaned]).await;
    let body = figures(&table, &format!("{MARCH}&groupBy=hour")).await;
    assert_eq!(group(&body, "10")["booked"], 1);
    assert_eq!(group(&body, "09")["booked"], 0);
    assert_eq!(body["totals"]["rescheduled"], 0);
    assert_eq!(body["totals"]["activity"]["rescheduled"], 0);
}

#[tokio::test]
async fn days_are_those_of_the_location_and_activity_that_of_the_clinic() {
    let table = testing::table().await;
    let clinic = ClinicTimeZone::parse("Europe/Berlin").unwrap();
    // In New York it is still the evening of the ninth, and the booking was made on the eighth.
    let event = booked(
        "2026-03-08T23:30:00Z",
        "2026-03-09T22:00:00",
        "America/New_York",
    );
    assert_eq!(event.appointment.starts_at, instant("2026-03-10T02:00:00Z"));
    let effect = in_zone(&table, clinic, &event).await;
    assert_eq!(effect.unwrap(), Effect::Applied);
    let body = figures(&table, MARCH).await;
    assert_eq!(group(&body, "2026-03-09")["booked"], 1);
    assert_eq!(group(&body, "2026-03-09")["activity"]["booked"], 1);
    assert_eq!(group(&body, "2026-03-09")["leadTimeDays"]["average"], 1.0);
    let body = figures(&table, &format!("{MARCH}&groupBy=hour")).await;
    assert_eq!(group(&body, "22")["minutes"]["booked"], 30);
    assert_eq!(group(&body, "00")["activity"]["booked"], 1);
}

#[tokio::test]
async fn an_appointment_with_two_clinicians_counts_for_both_and_once_in_all() {
    let table = testing::table().await;
    let mut event = booked(BOOKED_AT, NINE, "Etc/UTC");
    event.appointment.clinician_ids = vec![Uuid::from_u128(11), Uuid::from_u128(10)];
    let mut without = booked(BOOKED_AT, NINE, "Etc/UTC");
    without.appointment.clinician_ids = Vec::new();
    without.appointment.resource_ids = vec![Uuid::from_u128(20)];
    count_all(&table, &[event, without]).await;
    let body = figures(&table, &format!("{MARCH}&groupBy=provider")).await;
    let keys: Vec<_> = body["groups"].as_array().unwrap().iter().collect();
    assert_eq!(keys.len(), 3);
    for provider in [10, 11, 20] {
        let group = group(&body, &Uuid::from_u128(provider).to_string());
        assert_eq!(group["booked"], 1, "{provider}");
    }
    assert_eq!(body["totals"]["booked"], 2);
    let body = figures(&table, &format!("{MARCH}&groupBy=service")).await;
    let service = Uuid::from_u128(1).to_string();
    assert_eq!(group(&body, &service)["booked"], 2);
    assert_eq!(group(&body, &service), {
        let mut totals = body["totals"].clone();
        totals["key"] = json!(service);
        totals
    });
}

#[tokio::test]
async fn whoever_walks_in_has_no_lead_time() {
    let table = testing::table().await;
    let mut walked_in = booked("2026-03-10T09:10:00Z", NINE, "Etc/UTC");
    walked_in.change = WALKED_IN;
    let done = next(
        &walked_in,
        "2026-03-10T09:40:00Z",
        AppointmentChange::Fulfilled,
    );
    // The first event comes last.
    count_all(&table, &[done, walked_in]).await;
    let body = figures(&table, MARCH).await;
    let totals = &body["totals"];
    assert_eq!([&totals["fulfilled"], &totals["walkIns"]], [1, 1]);
    assert_eq!(totals["arrived"], 0);
    assert_eq!(totals["leadTimeDays"]["average"], json!(null));
    assert_eq!(totals["noShowRate"], json!(null));
    assert_eq!(totals["activity"]["booked"], 0);
}

#[tokio::test]
async fn a_late_event_changes_no_state_and_its_activity_counts() {
    let table = testing::table().await;
    let booking = booked(BOOKED_AT, NINE, "Etc/UTC");
    let arrived = next(&booking, "2026-03-10T09:00:00Z", ARRIVED);
    count_all(&table, &[arrived.clone(), booking.clone()]).await;
    assert_eq!(states(&table).await, [0, 1, 0, 0, 0]);
    for event in [&arrived, &booking, &booking, &arrived] {
        let again = count(&table, event).await.unwrap();
        assert_eq!(again, Effect::AlreadyApplied);
    }
    let body = figures(&table, MARCH).await;
    assert_eq!(body["totals"]["activity"]["booked"], 1);
    assert_eq!(body["totals"]["appointments"], 1);
}

#[tokio::test]
async fn another_event_of_the_same_version_changes_nothing() {
    let table = testing::table().await;
    let booking = booked(BOOKED_AT, NINE, "Etc/UTC");
    let impostor = AppointmentEvent {
        id: Uuid::now_v7(),
        change: CANCELLED,
        ..booking.clone()
    };
    count_all(&table, &[booking]).await;
    let effect = count(&table, &impostor).await.unwrap();
    assert_eq!(effect, Effect::AlreadyApplied);
    assert_eq!(states(&table).await, [1, 0, 0, 0, 0]);
}

#[tokio::test]
async fn twenty_concurrent_deliveries_count_once() {
    let table = testing::table().await;
    let booking = booked(BOOKED_AT, NINE, "Etc/UTC");
    let effects = join_all((0..20).map(|_| count(&table, &booking))).await;
    let effects: Vec<Effect> = effects.into_iter().map(Result::unwrap).collect();
    let applied = effects.iter().filter(|effect| **effect == Effect::Applied);
    assert_eq!(applied.count(), 1, "{effects:?}");
    assert_eq!(states(&table).await, [1, 0, 0, 0, 0]);
}

#[tokio::test]
async fn an_event_that_could_not_be_counted_is_not_noted() {
    let table = testing::table().await;
    let booking = booked(BOOKED_AT, NINE, "Etc/UTC");
    let put = async |booked: AttributeValue| {
        let put = table.client().await.put_item().table_name(table.name());
        let key = |text: &str| AttributeValue::S(text.to_owned());
        put.item("pk", key("APPOINTMENT-HOURS#2026-03#SHARDS"))
            .item("sk", key("2026-03-10#09#0"))
            .item("booked", booked)
            .send()
            .await
            .unwrap();
    };
    put(AttributeValue::S("seven".to_owned())).await;
    let error = count(&table, &booking).await.unwrap_err();
    assert!(matches!(error, CountError::Table(_)), "{error:?}");
    put(AttributeValue::N("7".to_owned())).await;
    assert_eq!(count(&table, &booking).await.unwrap(), Effect::Applied);
    assert_eq!(states(&table).await, [8, 0, 0, 0, 0]);
}

#[tokio::test]
async fn only_the_note_on_an_appointment_that_is_over_for_good_expires() {
    let table = testing::table().await;
    let before = Utc::now().timestamp();
    let expires_at = async |event: &AppointmentEvent| {
        let get = table.client().await.get_item().table_name(table.name());
        let partition = format!("APPOINTMENT#{}", event.appointment_id);
        let note = get
            .key("pk", AttributeValue::S(partition))
            .key("sk", AttributeValue::S("COUNTED".to_owned()))
            .send()
            .await
            .unwrap();
        let note = note.item.unwrap();
        let moment = note.get("expiresAt")?;
        Some(moment.as_n().unwrap().parse::<i64>().unwrap())
    };
    let booking = booked(BOOKED_AT, NINE, "Etc/UTC");
    let missed = next(&booking, "2026-03-10T12:00:00Z", AppointmentChange::NoShow);
    let arrived = next(&missed, "2026-03-10T12:05:00Z", CORRECTED);
    for event in [&booking, &missed, &arrived] {
        count_all(&table, std::slice::from_ref(event)).await;
        assert_eq!(expires_at(event).await, None, "{:?}", event.change);
    }
    let done = next(
        &arrived,
        "2026-03-10T12:30:00Z",
        AppointmentChange::Fulfilled,
    );
    count_all(&table, std::slice::from_ref(&done)).await;
    let month = 30 * 24 * 60 * 60;
    assert!(expires_at(&done).await.unwrap() - before >= month);

    // One that is cancelled long before it would have been is remembered until after that.
    let booking = booked(BOOKED_AT, "2126-03-10T09:00:00", "Etc/UTC");
    let cancelled = next(&booking, "2026-03-03T08:00:00Z", CANCELLED);
    count_all(&table, &[booking, cancelled.clone()]).await;
    let ends_at = cancelled.appointment.ends_at.timestamp();
    assert_eq!(expires_at(&cancelled).await, Some(ends_at + month));
}
