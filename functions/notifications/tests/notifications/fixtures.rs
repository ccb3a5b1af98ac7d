//! Events, a notifier for them, and the route as a client sees it.

use aws_sdk_dynamodb::types::AttributeValue;
use axum::body::Body;
use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use events::{Appointment, AppointmentChange, AppointmentEvent, Change, Patient, PatientEvent};
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use identity::{Role, testing::as_caller};
use mail::testing::Ses;
use notifications::notification::NotificationsTable;
use notifications::{
    list_notifications,
    message::Clinic,
    notification::{Key, Notification},
    notify_patients::Notifier,
    pace::Pace,
};
use serde_json::Value;
use sqlx::PgPool;
use store::{Table, testing};
use tower::ServiceExt as _;
use uuid::Uuid;

pub(crate) const EMAIL: &str = "zoe.ærø@clinic.example";

pub(crate) fn zoe() -> Patient {
    Patient {
        name: "Zoë Ærø 🩺".to_owned(),
        email: Some(EMAIL.to_owned()),
        address: Some("Ullevålsveien 1, Oslo".to_owned()),
        date_of_birth: "1990-02-28".parse().unwrap(),
        registered_date: "2024-05-01".parse().unwrap(),
    }
}

pub(crate) fn created(patient: Patient) -> PatientEvent {
    event(Uuid::now_v7(), Change::Created(patient))
}

pub(crate) fn event(patient_id: Uuid, change: Change) -> PatientEvent {
    PatientEvent {
        id: Uuid::now_v7(),
        occurred_at: DateTime::from_timestamp(1_714_564_800, 123_456_000).unwrap(),
        patient_id,
        patient_version: 1,
        change,
    }
}

/// A notifier that sends with this mail service and has its own table.
pub(crate) async fn notifier(ses: &Ses, database: &PgPool) -> Notifier {
    Notifier {
        pace: Pace::of(10_000.0),
        table: testing::table().await,
        mailer: ses.mailer(),
        clinic: Clinic::new("Klinik Süd"),
        database: database.clone(),
    }
}

/// The same table, for another function.
pub(crate) async fn same(table: &Table) -> Table {
    Table::with_client(table.name().to_owned(), table.client().await.clone())
}

/// What the table contains for an event.
pub(crate) async fn stored(table: &Table, event: &PatientEvent) -> Option<Notification> {
    let key = Key::of(event);
    let get = table.client().await.get_item().table_name(table.name());
    let answer = get
        .key("pk", AttributeValue::S(key.partition))
        .key("sk", AttributeValue::S(key.sort))
        .send()
        .await
        .unwrap();
    let item = answer.item?;
    Some(serde_dynamo::from_item(item).unwrap())
}

/// Makes the lease expire, after which the notification may be taken up again.
pub(crate) async fn let_the_lease_run_out(table: &Table, event: &PatientEvent) {
    let key = Key::of(event);
    let update = table.client().await.update_item().table_name(table.name());
    update
        .key("pk", AttributeValue::S(key.partition))
        .key("sk", AttributeValue::S(key.sort))
        .update_expression("SET leaseUntil = :past")
        .condition_expression("leaseUntil > :now")
        .expression_attribute_values(":past", AttributeValue::N("1".to_owned()))
        .expression_attribute_values(
            ":now",
            AttributeValue::N(Utc::now().timestamp_millis().to_string()),
        )
        .send()
        .await
        .unwrap();
}

/// The response to a receptionist's `GET /api/notifications`.
pub(crate) async fn get(database: &PgPool, table: &Table, query: &str) -> (StatusCode, Value) {
    let request = Request::get(format!("/api/notifications{query}"))
        .body(Body::empty())
        .unwrap();
    answer(
        database,
        same(table).await,
        as_caller(request, Role::Receptionist),
    )
    .await
}

pub(crate) async fn answer(
    database: &PgPool,
    table: Table,
    request: Request<Body>,
) -> (StatusCode, Value) {
    let routes = list_notifications::routes(database.clone(), NotificationsTable(table));
    let response = api::around("list-notifications", api::AllowedOrigins::default(), routes)
        .oneshot(request)
        .await
        .unwrap();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap())
}

/// Registers a patient, as the patients service does.
pub(crate) async fn register(database: &PgPool, restricted: bool) -> Uuid {
    let id = Uuid::now_v7();
    sqlx::query(
        "INSERT INTO patients.patient
             (id, version, name, email, address, date_of_birth, registered_date, restricted)
         VALUES ($1, 1, 'Zoë Ærø', $2, 'Oslo', '1990-02-28', '2024-05-01', $3)",
    )
    .bind(id)
    .bind(format!("zoe.{id}@clinic.example"))
    .bind(restricted)
    .execute(database)
    .await
    .unwrap();
    id
}

pub(crate) fn utc(text: &str) -> DateTime<Utc> {
    let wall = NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M");
    wall.unwrap().and_utc()
}

/// The booking of half an hour in London at this time, with reminders two days and two hours
/// before.
pub(crate) fn booking(patient_id: Uuid, starts_at: DateTime<Utc>) -> AppointmentEvent {
    let zone = zones::Zone::named("Europe/London").unwrap();
    AppointmentEvent {
        id: Uuid::now_v7(),
        occurred_at: starts_at - TimeDelta::days(10),
        appointment_id: Uuid::now_v7(),
        appointment_version: 1,
        patient_id,
        appointment: Appointment {
            service_id: Uuid::now_v7(),
            service_code: "CONSULT-30".to_owned(),
            location_id: Uuid::now_v7(),
            resource_ids: vec![Uuid::now_v7()],
            clinician_ids: vec![Uuid::now_v7()],
            starts_at,
            ends_at: starts_at + TimeDelta::minutes(30),
            time_zone: zone.name().to_owned(),
            local_start: zone.local(starts_at).naive_local(),
            sequence: 0,
            created_at: starts_at - TimeDelta::days(10),
            reminder_minutes: vec![2880, 120],
        },
        change: AppointmentChange::Booked,
    }
}

/// What happens to the appointment next.
pub(crate) fn then(before: &AppointmentEvent, change: AppointmentChange) -> AppointmentEvent {
    let mut event = before.clone();
    event.id = Uuid::now_v7();
    event.occurred_at += TimeDelta::hours(1);
    event.appointment_version += 1;
    if matches!(
        change,
        AppointmentChange::Rescheduled { .. } | AppointmentChange::Cancelled { .. }
    ) {
        event.appointment.sequence += 1;
    }
    event.change = change;
    event
}

/// The appointment is moved to another time.
pub(crate) fn moved(before: &AppointmentEvent, starts_at: DateTime<Utc>) -> AppointmentEvent {
    let zone = zones::Zone::named(&before.appointment.time_zone).unwrap();
    let change = AppointmentChange::Rescheduled {
        started_at: before.appointment.starts_at,
        ended_at: before.appointment.ends_at,
        by_time_zone_rules: false,
        location_id: Uuid::nil(),
    };
    let mut event = then(before, change);
    event.appointment.starts_at = starts_at;
    event.appointment.ends_at = starts_at + TimeDelta::minutes(30);
    event.appointment.local_start = zone.local(starts_at).naive_local();
    event
}
