//! What became of the bookings, read from everywhere it is visible.

use std::collections::{BTreeMap, HashMap, HashSet};

use anyhow::Result;
use chrono::{DateTime, NaiveDateTime, Utc};
use contracts::{
    APPOINTMENT_EVENTS_TOPIC,
    appointment::v1::{AppointmentEvent, appointment_event::Change as Announced},
};
use prost::Message as _;
use sqlx::{FromRow, PgPool};
use system_tests::{Clinic, Mail, Topic};
use uuid::Uuid;

use super::{Desk, Entry};

/// All that is to be checked.
#[derive(Debug, Default)]
pub(crate) struct Bookings {
    pub(crate) entries: Vec<Entry>,
    /// How many patients share a slot of each service.
    pub(crate) capacities: HashMap<Uuid, usize>,
    pub(crate) appointments: Vec<Appointment>,
    /// The versions of each appointment, in order.
    pub(crate) history: HashMap<Uuid, Vec<Step>>,
    pub(crate) occupied: Vec<Occupied>,
    pub(crate) absences: Vec<Absence>,
    /// The events in their order on the topic.
    pub(crate) events: Vec<Event>,
    pub(crate) messages: Vec<Message>,
    pub(crate) sent: Vec<Sent>,
    /// The patients who still exist.
    pub(crate) patients: HashSet<Uuid>,
    /// When all of this was read.
    pub(crate) at: DateTime<Utc>,
}

/// An appointment as it is stored.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct Appointment {
    pub(crate) id: Uuid,
    pub(crate) version: i64,
    pub(crate) patient_id: Uuid,
    pub(crate) service_id: Uuid,
    pub(crate) resource_ids: Vec<Uuid>,
    pub(crate) status: String,
    pub(crate) starts_at: DateTime<Utc>,
    pub(crate) ends_at: DateTime<Utc>,
    pub(crate) sequence: i32,
    pub(crate) hold_expires_at: Option<DateTime<Utc>>,
    pub(crate) orphaned: bool,
}

/// A version of an appointment.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub(crate) struct Step {
    pub(crate) appointment_id: Uuid,
    pub(crate) version: i64,
    pub(crate) change: String,
    pub(crate) status: String,
    pub(crate) starts_at: DateTime<Utc>,
    pub(crate) resource_ids: Vec<Uuid>,
    /// None if it was not a user.
    pub(crate) actor: Option<Uuid>,
    pub(crate) at: DateTime<Utc>,
}

/// What an appointment takes up of a resource.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct Occupied {
    pub(crate) appointment_id: Uuid,
    pub(crate) resource_id: Uuid,
    pub(crate) from: DateTime<Utc>,
    pub(crate) to: DateTime<Utc>,
}

/// An absence that is recorded.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct Absence {
    pub(crate) id: Uuid,
    pub(crate) resource_id: Uuid,
    pub(crate) starts_at: DateTime<Utc>,
    pub(crate) ends_at: DateTime<Utc>,
}

/// What an event says has happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EventKind {
    Booked,
    Rescheduled,
    Cancelled,
    Arrived,
    Orphaned,
    Other,
}

/// An event of the topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) id: String,
    pub(crate) key: String,
    pub(crate) appointment: Uuid,
    pub(crate) patient: String,
    pub(crate) version: i64,
    pub(crate) kind: EventKind,
    pub(crate) sequence: i64,
    pub(crate) start: DateTime<Utc>,
}

/// A message about an appointment, due or done with.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct Message {
    pub(crate) appointment_id: Uuid,
    pub(crate) kind: String,
    pub(crate) channel: String,
    pub(crate) sequence: i32,
    pub(crate) offset_minutes: i32,
    pub(crate) state: String,
}

/// An invitation in a mailbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) appointment: Uuid,
    pub(crate) method: String,
    pub(crate) sequence: i64,
    pub(crate) start: DateTime<Utc>,
    /// When SES accepted it, in whole seconds.
    pub(crate) at: DateTime<Utc>,
}

impl Bookings {
    /// Reads everything.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub(crate) async fn take(
        clinic: &Clinic,
        database: &PgPool,
        desk: &Desk,
        topic: &BTreeMap<i32, i64>,
    ) -> Result<Self> {
        let services = &desk.practice().services;
        let ids: Vec<Uuid> = services.iter().map(|service| service.id).collect();
        let appointments: Vec<Appointment> = sqlx::query_as(
            "SELECT id, version, patient_id, service_id, resource_ids, status, starts_at, ends_at,
                    sequence, hold_expires_at, orphaned
             FROM appointments.appointment WHERE service_id = ANY($1) ORDER BY id",
        )
        .bind(&ids)
        .fetch_all(database)
        .await?;
        let ours: Vec<Uuid> = appointments.iter().map(|one| one.id).collect();
        let versions: Vec<Step> = sqlx::query_as(
            "SELECT appointment_id, version, change, status, starts_at, resource_ids, actor, at
             FROM appointments.history WHERE appointment_id = ANY($1) ORDER BY version",
        )
        .bind(&ours)
        .fetch_all(database)
        .await?;
        let mut history: HashMap<_, Vec<_>> = HashMap::new();
        for version in versions {
            let versions = history.entry(version.appointment_id).or_default();
            versions.push(version);
        }
        let occupied = sqlx::query_as(
            r#"SELECT appointment_id, resource.id AS resource_id, lower(during) AS "from",
                      upper(during) AS "to"
               FROM appointments.occupancy
               JOIN appointments.resource ON number = resource_number
               WHERE resource.id = ANY($1)"#,
        )
        .bind(&desk.practice().clinicians)
        .fetch_all(database)
        .await?;
        let absences = sqlx::query_as(
            "SELECT id, resource_id, starts_at, ends_at FROM appointments.absence
             WHERE resource_id = ANY($1)",
        )
        .bind(&desk.practice().clinicians)
        .fetch_all(database)
        .await?;
        let messages = sqlx::query_as(
            "SELECT appointment_id, kind, channel, sequence, offset_minutes, state
             FROM notifications.message WHERE appointment_id = ANY($1)",
        )
        .bind(&ours)
        .fetch_all(database)
        .await?;
        let patients: Vec<Uuid> =
            sqlx::query_scalar("SELECT id FROM patients.patient WHERE deleted_at IS NULL")
                .fetch_all(database)
                .await?;
        let ours: HashSet<Uuid> = ours.into_iter().collect();
        let mails = clinic.aws().mails().await;
        let sent = mails.iter().filter_map(sent);
        let mut topic = Topic::open_named(APPOINTMENT_EVENTS_TOPIC, topic).await;
        let records = topic.raw_records().await.iter();
        let events = records.filter_map(|raw| {
            let key = String::from_utf8(raw.record.key.clone()?).ok()?;
            event(key, raw.record.value.as_deref()?)
        });
        Ok(Self {
            entries: desk.entries(),
            capacities: services
                .iter()
                .map(|service| (service.id, service.capacity))
                .collect(),
            appointments,
            history,
            occupied,
            absences,
            events: events.filter(|it| ours.contains(&it.appointment)).collect(),
            messages,
            sent: sent.filter(|it| ours.contains(&it.appointment)).collect(),
            patients: patients.into_iter().collect(),
            at: Utc::now(),
        })
    }
}

fn event(key: String, value: &[u8]) -> Option<Event> {
    let event = AppointmentEvent::decode(value).ok()?;
    let appointment = event.appointment?;
    let start = appointment.starts_at?;
    let nanos = u32::try_from(start.nanos).ok()?;
    Some(Event {
        id: event.event_id,
        key,
        appointment: event.appointment_id.parse().ok()?,
        patient: event.patient_id,
        version: event.appointment_version.cast_signed(),
        kind: match event.change? {
            Announced::Booked(_) => EventKind::Booked,
            Announced::Rescheduled(_) => EventKind::Rescheduled,
            Announced::Cancelled(_) => EventKind::Cancelled,
            Announced::Arrived(_) => EventKind::Arrived,
            Announced::Orphaned(_) => EventKind::Orphaned,
            Announced::Fulfilled(_) | Announced::NoShow(_) => EventKind::Other,
        },
        sequence: appointment.sequence.into(),
        start: DateTime::from_timestamp(start.seconds, nanos)?,
    })
}

/// The invitation in a mail, if it has one.
pub(super) fn sent(mail: &Mail) -> Option<Sent> {
    let whole = mail.whole();
    let calendar = &whole[whole.find("BEGIN:VCALENDAR")?..];
    let value = |name: &str| {
        let mut lines = calendar.lines();
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
    };
    let start = NaiveDateTime::parse_from_str(value("DTSTART")?, "%Y%m%dT%H%M%SZ").ok()?;
    Some(Sent {
        appointment: value("UID")?.parse().ok()?,
        method: value("METHOD")?.to_owned(),
        sequence: value("SEQUENCE")?.parse().ok()?,
        start: start.and_utc(),
        at: mail.timestamp.and_utc(),
    })
}
