//! An appointment, how it is changed, and how the rest of the system learns of that.

use api::{EntityTag, Problem};
use chrono::{DateTime, NaiveDateTime, Utc};
use events::{AppointmentChange, AppointmentEvent};
use identity::Caller;
use serde::Serialize;
use sqlx::{PgExecutor, postgres::types::PgRange};
use store::Transaction;
use utoipa::ToSchema;
use uuid::Uuid;
use zones::Zone;

use super::{occupancy, plan::Plan, status::Status};
use crate::{
    clock::{self, LocalTime},
    outbox::Appointments,
    schedule::service::Service,
};

/// An appointment as it is stored.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(crate) id: Uuid,
    pub(crate) version: i64,
    pub(crate) patient_id: Uuid,
    pub(crate) service_id: Uuid,
    pub(crate) location_id: Uuid,
    pub(crate) resource_ids: Vec<Uuid>,
    pub(crate) status: Status,
    pub(crate) starts_at: DateTime<Utc>,
    pub(crate) ends_at: DateTime<Utc>,
    pub(crate) time_zone: String,
    pub(crate) local_start: NaiveDateTime,
    pub(crate) zone_data: String,
    pub(crate) sequence: i32,
    pub(crate) series_id: Option<Uuid>,
    pub(crate) hold_expires_at: Option<DateTime<Utc>>,
    pub(crate) orphaned: bool,
    pub(crate) unattended: bool,
    pub(crate) walk_in: bool,
    pub(crate) cancel_reason: Option<String>,
    pub(crate) cancelled_at: Option<DateTime<Utc>>,
    pub(crate) cancelled_by: Option<Uuid>,
    pub(crate) overbook_reason: Option<String>,
    pub(crate) overbooked_by: Option<Uuid>,
    pub(crate) confirmed_at: Option<DateTime<Utc>>,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) updated_at: DateTime<Utc>,
}

/// An appointment as clients get it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(title = "Appointment", example = json!({
    "id": "0199f7a2-6c1e-7c35-9b6c-0d2a54f3c1ac",
    "version": 1,
    "status": "BOOKED",
    "patientId": "0199f7a2-6c1e-7c35-9b6c-0d2a54f3c1aa",
    "serviceId": "0199f7a2-6c1e-7c35-9b6c-0d2a54f3c1ad",
    "locationId": "0199f7a2-6c1e-7c35-9b6c-0d2a54f3c1ab",
    "resourceIds": ["0199f7a2-6c1e-7c35-9b6c-0d2a54f3c1ae"],
    "start": "2027-03-29T12:00:00Z",
    "end": "2027-03-29T12:30:00Z",
    "localStart": "2027-03-29T13:00:00+01:00",
    "timeZone": "Europe/London",
    "sequence": 0,
    "seriesId": null,
    "holdExpiresAt": null,
    "orphaned": false,
    "walkIn": false,
    "patientConfirmedAt": null,
    "cancellation": null,
    "overbooking": null,
    "createdAt": "2027-01-10T09:30:00.123456Z",
    "updatedAt": "2027-01-10T09:30:00.123456Z"
}))]
pub(crate) struct Appointment {
    /// Identifies the appointment; never changes, even if it is moved.
    pub(crate) id: Uuid,
    /// 1 on creation, incremented with every change; the number in the `ETag`.
    version: i64,
    status: Status,
    /// The patient.
    patient_id: Uuid,
    /// What it is for.
    service_id: Uuid,
    /// Where it takes place.
    location_id: Uuid,
    /// What it takes up: one resource of each kind that the service needs.
    resource_ids: Vec<Uuid>,
    /// When it starts, in UTC.
    start: DateTime<Utc>,
    /// When it ends, in UTC.
    end: DateTime<Utc>,
    /// When it starts on the clock of the location, with its offset from UTC.
    #[schema(value_type = DateTime<Utc>)]
    local_start: LocalTime,
    /// The IANA name of the location's time zone.
    time_zone: String,
    /// How often it has been moved or cancelled: `SEQUENCE` in a calendar (RFC 5545).
    sequence: i32,
    /// The series that it belongs to.
    #[schema(required)]
    series_id: Option<Uuid>,
    /// Until when the slot is held, if it is `PENDING`.
    #[schema(required)]
    hold_expires_at: Option<DateTime<Utc>>,
    /// Whether a resource is absent, closed or not at work then, so that somebody has to move it.
    orphaned: bool,
    /// Whether the patient came without an appointment.
    walk_in: bool,
    /// When the patient has confirmed with the link in a message that they will come.
    #[schema(required)]
    patient_confirmed_at: Option<DateTime<Utc>>,
    /// Why, when and by whom it was cancelled.
    #[schema(required)]
    cancellation: Option<Cancellation>,
    /// Why and by whom it was booked although the slot was not free.
    #[schema(required)]
    overbooking: Option<Overbooking>,
    /// When it was booked or held.
    created_at: DateTime<Utc>,
    /// When it was last changed.
    updated_at: DateTime<Utc>,
}

/// Why, when and by whom an appointment was cancelled.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = AppointmentCancellation)]
struct Cancellation {
    reason: String,
    at: DateTime<Utc>,
    /// The user; null if the patient did it with the link in a message, or a hold expired.
    #[schema(required)]
    by: Option<Uuid>,
}

/// Why and by whom an appointment was booked although the slot was not free.
#[derive(Debug, Serialize, ToSchema)]
struct Overbooking {
    reason: String,
    by: Uuid,
}

impl Appointment {
    /// The version as `ETag`.
    pub(crate) const fn entity_tag(&self) -> EntityTag {
        EntityTag(self.version)
    }
}

impl From<Stored> for Appointment {
    fn from(stored: Stored) -> Self {
        let zone = Zone::named(&stored.time_zone).unwrap_or_else(|_| Zone::utc());
        let cancelled = stored.cancelled_at.zip(stored.cancel_reason);
        let overbooked = stored.overbooked_by.zip(stored.overbook_reason);
        Self {
            id: stored.id,
            version: stored.version,
            status: stored.status,
            patient_id: stored.patient_id,
            service_id: stored.service_id,
            location_id: stored.location_id,
            resource_ids: stored.resource_ids,
            start: stored.starts_at,
            end: stored.ends_at,
            local_start: LocalTime::at(stored.starts_at, &zone),
            time_zone: stored.time_zone,
            sequence: stored.sequence,
            series_id: stored.series_id,
            hold_expires_at: stored.hold_expires_at,
            orphaned: stored.orphaned,
            walk_in: stored.walk_in,
            patient_confirmed_at: stored.confirmed_at,
            cancellation: cancelled.map(|(at, reason)| Cancellation {
                reason,
                at,
                by: stored.cancelled_by,
            }),
            overbooking: overbooked.map(|(by, reason)| Overbooking { reason, by }),
            created_at: stored.created_at,
            updated_at: stored.updated_at,
        }
    }
}

/// What is done to an appointment, as its history names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum Change {
    Held,
    Booked,
    Confirmed,
    Rescheduled,
    Cancelled,
    Arrived,
    WalkedIn,
    Fulfilled,
    NoShow,
    ArrivedAfterAll,
    Orphaned,
    NoLongerOrphaned,
    ConfirmedByPatient,
    MovedByTimeZoneRules,
}

/// Who does it, and why.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct By<'a> {
    /// None if it is the patient, or the clock.
    pub(crate) actor: Option<Uuid>,
    pub(crate) reason: Option<&'a str>,
}

impl By<'_> {
    /// A user of the clinic, without a reason.
    pub(crate) const fn user(caller: Caller) -> Self {
        Self {
            actor: Some(caller.user),
            reason: None,
        }
    }
}

impl<'a> By<'a> {
    /// A user of the clinic, for this reason.
    pub(crate) const fn because(caller: Caller, reason: &'a str) -> Self {
        Self {
            actor: Some(caller.user),
            reason: Some(reason),
        }
    }
}

/// The 404 for an appointment that does not exist.
pub(crate) fn not_found() -> Problem {
    Problem::not_found("Appointment not found")
}

/// The appointment with this id.
pub(crate) async fn find(
    database: impl PgExecutor<'_>,
    id: Uuid,
) -> Result<Option<Stored>, sqlx::Error> {
    sqlx::query_as!(
        Stored,
        r#"SELECT id, version, patient_id, service_id, location_id, resource_ids,
                  status AS "status: Status", starts_at, ends_at, time_zone, local_start, zone_data,
                  sequence, series_id, hold_expires_at, orphaned, unattended, walk_in, cancel_reason,
                  cancelled_at, cancelled_by, overbook_reason, overbooked_by, confirmed_at,
                  created_at, updated_at
           FROM appointments.appointment WHERE id = $1"#,
        id,
    )
    .fetch_optional(database)
    .await
}

/// The appointment with this id, which nobody else changes until the transaction ends.
pub(crate) async fn lock(
    database: impl PgExecutor<'_>,
    id: Uuid,
) -> Result<Option<Stored>, sqlx::Error> {
    sqlx::query_as!(
        Stored,
        r#"SELECT id, version, patient_id, service_id, location_id, resource_ids,
                  status AS "status: Status", starts_at, ends_at, time_zone, local_start, zone_data,
                  sequence, series_id, hold_expires_at, orphaned, unattended, walk_in, cancel_reason,
                  cancelled_at, cancelled_by, overbook_reason, overbooked_by, confirmed_at,
                  created_at, updated_at
           FROM appointments.appointment WHERE id = $1 FOR UPDATE"#,
        id,
    )
    .fetch_optional(database)
    .await
}

impl Stored {
    /// An appointment as it is planned.
    pub(crate) fn planned(
        id: Uuid,
        patient_id: Uuid,
        service_id: Uuid,
        status: Status,
        plan: &Plan,
        now: DateTime<Utc>,
    ) -> Self {
        Self {
            id,
            version: 1,
            patient_id,
            service_id,
            location_id: plan.location,
            resource_ids: plan.resource_ids(),
            status,
            starts_at: plan.period.start,
            ends_at: plan.period.end,
            time_zone: plan.zone.name().to_owned(),
            local_start: plan.zone.local(plan.period.start).naive_local(),
            zone_data: zones::data_version().to_owned(),
            sequence: 0,
            series_id: None,
            hold_expires_at: None,
            orphaned: false,
            unattended: !plan.is_attended,
            walk_in: false,
            cancel_reason: None,
            cancelled_at: None,
            cancelled_by: None,
            overbook_reason: None,
            overbooked_by: None,
            confirmed_at: None,
            created_at: now,
            updated_at: now,
        }
    }

    /// Moves it to where it is planned now.
    pub(crate) fn move_to(&mut self, plan: &Plan) {
        self.location_id = plan.location;
        self.resource_ids = plan.resource_ids();
        self.starts_at = plan.period.start;
        self.ends_at = plan.period.end;
        plan.zone.name().clone_into(&mut self.time_zone);
        self.local_start = plan.zone.local(plan.period.start).naive_local();
        zones::data_version().clone_into(&mut self.zone_data);
        self.sequence += 1;
        self.orphaned = false;
        self.unattended = !plan.is_attended;
        self.confirmed_at = None;
    }

    /// Cancels it: nothing but its history is left of it.
    pub(crate) fn cancel(&mut self, by: By<'_>, reason: &str, now: DateTime<Utc>) {
        self.status = Status::Cancelled;
        self.hold_expires_at = None;
        self.cancel_reason = Some(reason.to_owned());
        self.cancelled_at = Some(now);
        self.cancelled_by = by.actor;
        self.sequence += 1;
        self.orphaned = false;
    }

    /// Stores a new appointment with the first entry of its history, and takes up what is planned: in
    /// one statement, because others wait for the same resources until the transaction ends.
    ///
    /// # Errors
    /// 409 if the database finds that it is not free, which the locks do not let happen; or if it does
    /// not respond.
    pub(crate) async fn insert(
        &self,
        transaction: &mut Transaction,
        plan: &Plan,
        change: Change,
        by: By<'_>,
    ) -> Result<(), Problem> {
        let change: &str = change.into();
        let (numbers, seats) = occupancy::wanted(plan);
        let taken = sqlx::query!(
            "WITH appointment AS (
                 INSERT INTO appointments.appointment
                     (id, version, patient_id, service_id, location_id, resource_ids, status,
                      starts_at, ends_at, time_zone, local_start, zone_data, series_id,
                      hold_expires_at, walk_in, overbook_reason, overbooked_by, created_at, updated_at, unattended)
                 VALUES ($1, 1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $17, $21)
             ), history AS (
                 INSERT INTO appointments.history
                     (appointment_id, version, change, status, starts_at, ends_at, resource_ids, actor,
                      reason, at)
                 VALUES ($1, 1, $18, $6, $7, $8, $5, $19, $20, $17)
             )
             INSERT INTO appointments.occupancy (appointment_id, resource_number, service_id, seats, during)
             SELECT $1, number, $3, seats, tstzrange($24, $25, '[)')
             FROM unnest($22::integer[], $23::int4range[]) AS wanted (number, seats)
             ON CONFLICT DO NOTHING",
            self.id,
            self.patient_id,
            self.service_id,
            self.location_id,
            &self.resource_ids,
            self.status.name(),
            self.starts_at,
            self.ends_at,
            self.time_zone,
            self.local_start,
            self.zone_data,
            self.series_id,
            self.hold_expires_at,
            self.walk_in,
            self.overbook_reason,
            self.overbooked_by,
            self.created_at,
            change,
            by.actor,
            by.reason,
            self.unattended,
            &numbers,
            &seats as &[PgRange<i32>],
            plan.occupied.start,
            plan.occupied.end,
        )
        .execute(transaction)
        .await?;
        occupancy::must_be_whole(plan, taken.rows_affected())
    }

    /// Stores what has changed as the next version, with an entry in the history.
    pub(crate) async fn save(
        &mut self,
        transaction: &mut Transaction,
        change: Change,
        by: By<'_>,
    ) -> Result<(), sqlx::Error> {
        self.version += 1;
        self.updated_at = clock::now().max(self.updated_at);
        let change: &str = change.into();
        sqlx::query!(
            "WITH appointment AS (
                 UPDATE appointments.appointment
                 SET version = $2, status = $3, starts_at = $4, ends_at = $5, local_start = $6,
                     zone_data = $7, sequence = $8, hold_expires_at = $9, orphaned = $10,
                     cancel_reason = $11, cancelled_at = $12, cancelled_by = $13,
                     overbook_reason = $14, overbooked_by = $15, confirmed_at = $16,
                     resource_ids = $17, location_id = $18, time_zone = $19, updated_at = $20,
                     unattended = $24
                 WHERE id = $1
             )
             INSERT INTO appointments.history
                 (appointment_id, version, change, status, starts_at, ends_at, resource_ids, actor,
                  reason, at)
             VALUES ($1, $2, $21, $3, $4, $5, $17, $22, $23, $20)",
            self.id,
            self.version,
            self.status.name(),
            self.starts_at,
            self.ends_at,
            self.local_start,
            self.zone_data,
            self.sequence,
            self.hold_expires_at,
            self.orphaned,
            self.cancel_reason,
            self.cancelled_at,
            self.cancelled_by,
            self.overbook_reason,
            self.overbooked_by,
            self.confirmed_at,
            &self.resource_ids,
            self.location_id,
            self.time_zone,
            self.updated_at,
            change,
            by.actor,
            by.reason,
            self.unattended,
        )
        .execute(transaction)
        .await?;
        Ok(())
    }

    /// Has the rest of the system told of what was stored.
    pub(crate) async fn announce(
        &self,
        transaction: &mut Transaction,
        change: AppointmentChange,
    ) -> Result<(), sqlx::Error> {
        let details = sqlx::query_as!(
            Details,
            r#"SELECT code, reminder_minutes,
                      ARRAY(
                          SELECT clinician.id FROM appointments.resource AS clinician
                          WHERE clinician.id = ANY($2) AND clinician.kind = 'CLINICIAN'
                          ORDER BY clinician.number
                      ) AS "clinicians!"
               FROM appointments.service WHERE id = $1"#,
            self.service_id,
            &self.resource_ids,
        )
        .fetch_one(&mut *transaction)
        .await?;
        self.announce_with(transaction, change, details).await
    }

    /// The same, by somebody who knows the details already.
    pub(crate) async fn announce_with(
        &self,
        transaction: &mut Transaction,
        change: AppointmentChange,
        details: Details,
    ) -> Result<(), sqlx::Error> {
        let event = AppointmentEvent {
            id: Uuid::now_v7(),
            occurred_at: self.updated_at,
            appointment_id: self.id,
            appointment_version: self.version,
            patient_id: self.patient_id,
            appointment: events::Appointment {
                service_id: self.service_id,
                service_code: details.code,
                location_id: self.location_id,
                resource_ids: self.resource_ids.clone(),
                clinician_ids: details.clinicians,
                starts_at: self.starts_at,
                ends_at: self.ends_at,
                time_zone: self.time_zone.clone(),
                local_start: self.local_start,
                sequence: self.sequence.unsigned_abs(),
                created_at: self.created_at,
                reminder_minutes: details
                    .reminder_minutes
                    .into_iter()
                    .map(i32::unsigned_abs)
                    .collect(),
            },
            change,
        };
        outbox::announce::<Appointments>(transaction, &event).await
    }
}

/// What the event of an appointment says of its service and its resources.
#[derive(Debug)]
pub(crate) struct Details {
    code: String,
    reminder_minutes: Vec<i32>,
    /// In the order of their numbers.
    clinicians: Vec<Uuid>,
}

impl Details {
    /// Those of what is planned for this service.
    pub(crate) fn of(service: &Service, plan: &Plan) -> Self {
        Self {
            code: service.code.clone(),
            reminder_minutes: service.reminder_minutes.clone(),
            clinicians: plan.clinicians.clone(),
        }
    }
}
