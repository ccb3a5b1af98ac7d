//! Which messages about an appointment are due when.

use chrono::{DateTime, Utc};
use events::{AppointmentChange, AppointmentEvent, Effect};
use notifications::schedule_messages::Scheduler;
use sqlx::PgPool;
use uuid::Uuid;

use crate::fixtures::{booking, moved, then, utc};

type Row = (String, i32, i32, DateTime<Utc>, String, Option<String>);

/// The messages by e-mail; those by text message are the same.
async fn messages(database: &PgPool) -> Vec<Row> {
    let of = async |channel: &str| -> Vec<Row> {
        sqlx::query_as(
            "SELECT kind, sequence, offset_minutes, due_at, state, reason
             FROM notifications.message WHERE channel = $1
             ORDER BY sequence, kind, offset_minutes",
        )
        .bind(channel)
        .fetch_all(database)
        .await
        .unwrap()
    };
    let by_mail = of("EMAIL").await;
    assert_eq!(by_mail, of("SMS").await);
    by_mail
}

/// Kind, sequence, minutes before, and the reason why it is not pending.
async fn states(database: &PgPool) -> Vec<(String, i32, i32, Option<String>)> {
    let messages = messages(database).await.into_iter();
    messages
        .map(|(kind, sequence, minutes, _, state, reason)| {
            assert_eq!(reason.is_none(), state == "PENDING");
            let kind = kind.strip_prefix("APPOINTMENT_").unwrap().to_owned();
            (kind, sequence, minutes, reason)
        })
        .collect()
}

fn row(
    kind: &str,
    sequence: i32,
    minutes: i32,
    reason: &str,
) -> (String, i32, i32, Option<String>) {
    let reason = (!reason.is_empty()).then(|| reason.to_owned());
    (kind.to_owned(), sequence, minutes, reason)
}

async fn apply(database: &PgPool, event: &AppointmentEvent) -> Effect {
    let scheduler = Scheduler {
        database: database.clone(),
    };
    scheduler.apply(event).await.unwrap()
}

fn start() -> DateTime<Utc> {
    // 09:00 in London, two days after 09:00Z on the 28th.
    utc("2026-03-30 08:00")
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_booking_is_confirmed_and_the_patient_reminded(database: PgPool) {
    let booked = booking(Uuid::now_v7(), start());
    assert_eq!(apply(&database, &booked).await, Effect::Applied);
    let expected = [
        ("APPOINTMENT_BOOKED", 0, booked.occurred_at),
        ("APPOINTMENT_REMINDER", 120, utc("2026-03-30 06:00")),
        ("APPOINTMENT_REMINDER", 2880, utc("2026-03-28 09:00")),
    ];
    let expected = expected.map(|(kind, minutes, due_at)| {
        (
            kind.to_owned(),
            0,
            minutes,
            due_at,
            "PENDING".to_owned(),
            None,
        )
    });
    assert_eq!(messages(&database).await, expected);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_reminder_that_is_past_at_booking_is_not_sent(database: PgPool) {
    let mut booked = booking(Uuid::now_v7(), start());
    booked.occurred_at = utc("2026-03-29 12:00");
    apply(&database, &booked).await;
    let expected = [
        row("BOOKED", 0, 0, ""),
        row("REMINDER", 0, 120, ""),
        row("REMINDER", 0, 2880, "PAST_AT_BOOKING"),
    ];
    assert_eq!(states(&database).await, expected);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_moved_appointment_has_only_the_reminders_of_its_new_time(database: PgPool) {
    let booked = booking(Uuid::now_v7(), start());
    let later = moved(&booked, utc("2026-04-10 08:00"));
    apply(&database, &booked).await;
    sqlx::query("UPDATE notifications.message SET state = 'SENT' WHERE offset_minutes = 2880")
        .execute(&database)
        .await
        .unwrap();
    assert_eq!(apply(&database, &later).await, Effect::Applied);
    let all = messages(&database).await;
    let pending: Vec<_> = all
        .iter()
        .filter(|(_, _, _, _, state, _)| state == "PENDING")
        .map(|(kind, sequence, minutes, due_at, _, _)| (&**kind, *sequence, *minutes, *due_at))
        .collect();
    let expected = [
        ("APPOINTMENT_MOVED", 1, 0, later.occurred_at),
        ("APPOINTMENT_REMINDER", 1, 120, utc("2026-04-10 06:00")),
        ("APPOINTMENT_REMINDER", 1, 2880, utc("2026-04-08 08:00")),
    ];
    assert_eq!(pending, expected);
    let superseded = all
        .iter()
        .filter(|(_, _, _, _, _, reason)| reason.as_deref() == Some("SUPERSEDED"));
    assert_eq!(superseded.count(), 2);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn new_rules_of_the_time_zone_move_reminders_under_the_same_sequence(database: PgPool) {
    let booked = booking(Uuid::now_v7(), start());
    apply(&database, &booked).await;
    let mut shifted = moved(&booked, utc("2026-03-30 09:00"));
    shifted.appointment.sequence = 0;
    apply(&database, &shifted).await;
    let reminder = messages(&database)
        .await
        .into_iter()
        .find(|(_, _, minutes, ..)| *minutes == 120)
        .unwrap();
    assert_eq!(
        (reminder.3, &*reminder.4),
        (utc("2026-03-30 07:00"), "PENDING")
    );
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_cancellation_drops_reminders_and_is_told(database: PgPool) {
    for by_patient in [false, true] {
        let booked = booking(Uuid::now_v7(), start());
        apply(&database, &booked).await;
        let cancelled = then(&booked, AppointmentChange::Cancelled { by_patient });
        apply(&database, &cancelled).await;
        let expected = [
            row("BOOKED", 0, 0, "CANCELLED"),
            row("REMINDER", 0, 120, "CANCELLED"),
            row("REMINDER", 0, 2880, "CANCELLED"),
            row("CANCELLED", 1, 0, ""),
        ];
        assert_eq!(states(&database).await, expected);
        let (must_be_told, told_as_by_patient): (bool, bool) = sqlx::query_as(
            "DELETE FROM notifications.message WHERE kind = 'APPOINTMENT_CANCELLED' AND channel = 'SMS'
             RETURNING must_be_told, by_patient",
        )
        .fetch_one(&database)
        .await
        .unwrap();
        assert_eq!(
            (must_be_told, told_as_by_patient),
            (!by_patient, by_patient)
        );
        sqlx::query("DELETE FROM notifications.message")
            .execute(&database)
            .await
            .unwrap();
    }
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn whoever_has_come_or_not_is_not_reminded(database: PgPool) {
    for change in [
        AppointmentChange::Arrived {
            walk_in: false,
            corrected: false,
        },
        AppointmentChange::Fulfilled,
        AppointmentChange::NoShow,
    ] {
        let booked = booking(Uuid::now_v7(), start());
        apply(&database, &booked).await;
        assert_eq!(
            apply(&database, &then(&booked, change)).await,
            Effect::Applied
        );
    }
    let pending: i64 =
        sqlx::query_scalar("SELECT count(*) FROM notifications.message WHERE state = 'PENDING'")
            .fetch_one(&database)
            .await
            .unwrap();
    assert_eq!(pending, 0);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn an_event_that_comes_again_or_late_changes_nothing(database: PgPool) {
    let booked = booking(Uuid::now_v7(), start());
    let later = moved(&booked, utc("2026-04-10 08:00"));
    let orphaned = then(&later, AppointmentChange::Orphaned);
    let cancelled = then(
        &orphaned,
        AppointmentChange::Cancelled { by_patient: false },
    );
    apply(&database, &booked).await;
    assert_eq!(apply(&database, &booked).await, Effect::AlreadyApplied);
    apply(&database, &later).await;
    assert_eq!(apply(&database, &orphaned).await, Effect::Ignored);
    apply(&database, &cancelled).await;
    let before = messages(&database).await;
    for event in [&booked, &later] {
        assert_eq!(apply(&database, event).await, Effect::OutOfDate);
    }
    assert_eq!(apply(&database, &orphaned).await, Effect::Ignored);
    assert_eq!(apply(&database, &cancelled).await, Effect::AlreadyApplied);
    assert_eq!(messages(&database).await, before);

    // The cancellation comes first.
    let other = booking(Uuid::now_v7(), start());
    let its_end = then(&other, AppointmentChange::Cancelled { by_patient: true });
    apply(&database, &its_end).await;
    assert_eq!(apply(&database, &other).await, Effect::OutOfDate);
    let told: Vec<String> = sqlx::query_scalar(
        "SELECT kind FROM notifications.message WHERE appointment_id = $1 AND channel = 'EMAIL'",
    )
    .bind(other.appointment_id)
    .fetch_all(&database)
    .await
    .unwrap();
    assert_eq!(told, ["APPOINTMENT_CANCELLED"]);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn deliveries_at_the_same_time_take_effect_once(database: PgPool) {
    let booked = booking(Uuid::now_v7(), start());
    let effects = futures::future::join_all((0..5).map(|_| apply(&database, &booked))).await;
    let applied = effects.iter().filter(|effect| **effect == Effect::Applied);
    assert_eq!(applied.count(), 1, "{effects:?}");
    assert_eq!(messages(&database).await.len(), 3);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_booking_that_comes_after_its_orphaning_has_its_effect(database: PgPool) {
    let booked = booking(Uuid::now_v7(), start());
    let orphaned = then(&booked, AppointmentChange::Orphaned);
    assert_eq!(apply(&database, &orphaned).await, Effect::Ignored);
    assert_eq!(apply(&database, &booked).await, Effect::Applied);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn nobody_is_told_of_a_new_time_that_is_the_old_one(database: PgPool) {
    let booked = booking(Uuid::now_v7(), start());
    apply(&database, &booked).await;
    let mut other_room = moved(&booked, start());
    let AppointmentChange::Rescheduled {
        started_at,
        location_id,
        ..
    } = &mut other_room.change
    else {
        panic!("{other_room:?}")
    };
    *started_at = other_room.appointment.starts_at;
    *location_id = other_room.appointment.location_id;
    apply(&database, &other_room).await;
    let told: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM notifications.message WHERE kind = 'APPOINTMENT_MOVED'",
    )
    .fetch_one(&database)
    .await
    .unwrap();
    assert_eq!(told, 0);
}
