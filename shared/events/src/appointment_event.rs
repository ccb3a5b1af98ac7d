//! What happened to an appointment, as the rest of the system learns of it.

use chrono::{DateTime, NaiveDateTime, Utc};
use contracts::{APPOINTMENT_EVENTS_TOPIC, appointment::v1};
use prost::Message as _;
use uuid::Uuid;

use crate::{
    Event, Mark, Undecodable,
    wire::{ids, instant, timestamp, version},
};

/// The format of a wall time on the wire.
const WALL_TIME: &str = "%Y-%m-%dT%H:%M:%S";

/// Something that happened to an appointment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppointmentEvent {
    /// Consumers act once per id.
    pub id: Uuid,
    /// When the change was committed, to the microsecond.
    pub occurred_at: DateTime<Utc>,
    /// The appointment that it happened to.
    pub appointment_id: Uuid,
    /// The appointment's version after the change. A version without an event is a change that
    /// concerns no other service, such as a hold.
    pub appointment_version: i64,
    /// The patient whose appointment it is.
    pub patient_id: Uuid,
    /// The appointment after the change.
    pub appointment: Appointment,
    /// What happened.
    pub change: AppointmentChange,
}

/// An appointment: ids and times, and nothing that anybody has written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appointment {
    /// The service.
    pub service_id: Uuid,
    /// The code under which it is billed.
    pub service_code: String,
    /// Where it takes place.
    pub location_id: Uuid,
    /// Everything that it occupies.
    pub resource_ids: Vec<Uuid>,
    /// The clinicians among that.
    pub clinician_ids: Vec<Uuid>,
    /// When it starts.
    pub starts_at: DateTime<Utc>,
    /// When it ends.
    pub ends_at: DateTime<Utc>,
    /// The IANA name of the location's time zone.
    pub time_zone: String,
    /// What the clocks show there when it starts, to the second.
    pub local_start: NaiveDateTime,
    /// How often it has been moved or cancelled: `SEQUENCE` in RFC 5545.
    pub sequence: u32,
    /// When it was first asked for.
    pub created_at: DateTime<Utc>,
    /// When the patient is to be reminded, in minutes before the start.
    pub reminder_minutes: Vec<u32>,
}

/// What happened to an appointment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AppointmentChange {
    /// It was booked, or a hold was confirmed.
    Booked,
    /// It was moved to another time, or to other resources.
    Rescheduled {
        /// When it was to start before.
        started_at: DateTime<Utc>,
        /// When it was to end before.
        ended_at: DateTime<Utc>,
        /// Whether nobody moved it: the rules of its time zone changed, and its wall time stayed.
        by_time_zone_rules: bool,
        /// Where it was to be before.
        location_id: Uuid,
    },
    /// It was cancelled.
    Cancelled {
        /// By the patient, and not by the clinic.
        by_patient: bool,
    },
    /// The patient came.
    Arrived {
        /// Without an appointment.
        walk_in: bool,
        /// After they had been taken for a no-show.
        corrected: bool,
    },
    /// The service was rendered.
    Fulfilled,
    /// The patient did not come.
    NoShow,
    /// The appointment stands, but a resource of it is absent or closed then.
    Orphaned,
}

impl AppointmentChange {
    /// The kind of change in one word, for logs and counters.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Booked => "booked",
            Self::Rescheduled { .. } => "rescheduled",
            Self::Cancelled { .. } => "cancelled",
            Self::Arrived { .. } => "arrived",
            Self::Fulfilled => "fulfilled",
            Self::NoShow => "no-show",
            Self::Orphaned => "orphaned",
        }
    }
}

impl AppointmentEvent {
    /// The event as protobuf.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        v1::AppointmentEvent {
            event_id: self.id.to_string(),
            occurred_at: Some(timestamp(self.occurred_at)),
            appointment_id: self.appointment_id.to_string(),
            appointment_version: self.appointment_version.cast_unsigned(),
            patient_id: self.patient_id.to_string(),
            appointment: Some((&self.appointment).into()),
            change: Some((&self.change).into()),
        }
        .encode_to_vec()
    }

    /// Reads an event.
    ///
    /// # Errors
    /// If it differs in any way from what [`encode`](Self::encode) writes.
    pub fn decode(bytes: &[u8]) -> Result<Self, Undecodable> {
        let event = v1::AppointmentEvent::decode(bytes).map_err(|_| Undecodable("not protobuf"))?;
        let id = |text: &str, field| text.parse().map_err(|_| Undecodable(field));
        Ok(Self {
            id: id(&event.event_id, "event_id")?,
            occurred_at: instant(event.occurred_at, "occurred_at")?,
            appointment_id: id(&event.appointment_id, "appointment_id")?,
            appointment_version: version(event.appointment_version, "appointment_version")?,
            patient_id: id(&event.patient_id, "patient_id")?,
            appointment: appointment(event.appointment.ok_or(Undecodable("appointment"))?)?,
            change: change(event.change.ok_or(Undecodable("change"))?)?,
        })
    }
}

impl Event for AppointmentEvent {
    const TOPIC: &'static str = APPOINTMENT_EVENTS_TOPIC;

    fn encode(&self) -> Vec<u8> {
        self.encode()
    }

    fn decode(bytes: &[u8]) -> Result<Self, Undecodable> {
        Self::decode(bytes)
    }

    fn id(&self) -> Uuid {
        self.id
    }

    fn occurred_at(&self) -> DateTime<Utc> {
        self.occurred_at
    }

    fn kind(&self) -> &'static str {
        self.change.kind()
    }

    fn patient_id(&self) -> Uuid {
        self.patient_id
    }

    /// No event is the last one for certain, but none comes long after the appointment.
    fn mark(&self) -> Mark {
        Mark {
            about: self.appointment_id,
            version: self.appointment_version,
            attribute: "appointmentVersion",
            over_at: Some(self.appointment.ends_at.max(self.occurred_at)),
        }
    }
}

impl From<&Appointment> for v1::Appointment {
    fn from(appointment: &Appointment) -> Self {
        let texts = |ids: &[Uuid]| ids.iter().map(Uuid::to_string).collect();
        Self {
            service_id: appointment.service_id.to_string(),
            service_code: appointment.service_code.clone(),
            location_id: appointment.location_id.to_string(),
            resource_ids: texts(&appointment.resource_ids),
            clinician_ids: texts(&appointment.clinician_ids),
            starts_at: Some(timestamp(appointment.starts_at)),
            ends_at: Some(timestamp(appointment.ends_at)),
            time_zone: appointment.time_zone.clone(),
            local_start: appointment.local_start.format(WALL_TIME).to_string(),
            sequence: appointment.sequence,
            created_at: Some(timestamp(appointment.created_at)),
            reminder_minutes: appointment.reminder_minutes.clone(),
        }
    }
}

fn appointment(wire: v1::Appointment) -> Result<Appointment, Undecodable> {
    let id = |text: &str, field| text.parse().map_err(|_| Undecodable(field));
    Ok(Appointment {
        service_id: id(&wire.service_id, "service_id")?,
        service_code: wire.service_code,
        location_id: id(&wire.location_id, "location_id")?,
        resource_ids: ids(&wire.resource_ids, "resource_ids")?,
        clinician_ids: ids(&wire.clinician_ids, "clinician_ids")?,
        starts_at: instant(wire.starts_at, "starts_at")?,
        ends_at: instant(wire.ends_at, "ends_at")?,
        time_zone: wire.time_zone,
        local_start: NaiveDateTime::parse_from_str(&wire.local_start, WALL_TIME)
            .map_err(|_| Undecodable("local_start"))?,
        sequence: wire.sequence,
        created_at: instant(wire.created_at, "created_at")?,
        reminder_minutes: wire.reminder_minutes,
    })
}

impl From<&AppointmentChange> for v1::appointment_event::Change {
    fn from(change: &AppointmentChange) -> Self {
        match *change {
            AppointmentChange::Booked => Self::Booked(v1::AppointmentBooked {}),
            AppointmentChange::Rescheduled {
                started_at,
                ended_at,
                by_time_zone_rules,
                location_id,
            } => Self::Rescheduled(v1::AppointmentRescheduled {
                started_at: Some(timestamp(started_at)),
                ended_at: Some(timestamp(ended_at)),
                by_time_zone_rules,
                location_id: location_id.to_string(),
            }),
            AppointmentChange::Cancelled { by_patient } => {
                Self::Cancelled(v1::AppointmentCancelled { by_patient })
            }
            AppointmentChange::Arrived { walk_in, corrected } => {
                Self::Arrived(v1::AppointmentArrived { walk_in, corrected })
            }
            AppointmentChange::Fulfilled => Self::Fulfilled(v1::AppointmentFulfilled {}),
            AppointmentChange::NoShow => Self::NoShow(v1::AppointmentNoShow {}),
            AppointmentChange::Orphaned => Self::Orphaned(v1::AppointmentOrphaned {}),
        }
    }
}

fn change(wire: v1::appointment_event::Change) -> Result<AppointmentChange, Undecodable> {
    use v1::appointment_event::Change as Wire;
    Ok(match wire {
        Wire::Booked(v1::AppointmentBooked {}) => AppointmentChange::Booked,
        Wire::Rescheduled(moved) => AppointmentChange::Rescheduled {
            started_at: instant(moved.started_at, "started_at")?,
            ended_at: instant(moved.ended_at, "ended_at")?,
            by_time_zone_rules: moved.by_time_zone_rules,
            location_id: moved
                .location_id
                .parse()
                .map_err(|_| Undecodable("location_id"))?,
        },
        Wire::Cancelled(v1::AppointmentCancelled { by_patient }) => {
            AppointmentChange::Cancelled { by_patient }
        }
        Wire::Arrived(v1::AppointmentArrived { walk_in, corrected }) => {
            AppointmentChange::Arrived { walk_in, corrected }
        }
        Wire::Fulfilled(v1::AppointmentFulfilled {}) => AppointmentChange::Fulfilled,
        Wire::NoShow(v1::AppointmentNoShow {}) => AppointmentChange::NoShow,
        Wire::Orphaned(v1::AppointmentOrphaned {}) => AppointmentChange::Orphaned,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(change: AppointmentChange) -> AppointmentEvent {
        let at = |seconds| DateTime::from_timestamp(seconds, 123_456_000).unwrap();
        AppointmentEvent {
            id: Uuid::now_v7(),
            occurred_at: at(1_790_000_000),
            appointment_id: Uuid::now_v7(),
            appointment_version: 3,
            patient_id: Uuid::now_v7(),
            appointment: Appointment {
                service_id: Uuid::now_v7(),
                service_code: "CONSULT-30".to_owned(),
                location_id: Uuid::now_v7(),
                resource_ids: vec![Uuid::now_v7(), Uuid::now_v7()],
                clinician_ids: vec![Uuid::now_v7()],
                starts_at: at(1_790_100_000),
                ends_at: at(1_790_101_800),
                time_zone: "Europe/London".to_owned(),
                local_start: at(1_790_100_000)
                    .naive_utc()
                    .date()
                    .and_hms_opt(9, 30, 0)
                    .unwrap(),
                sequence: 1,
                created_at: at(1_789_000_000),
                reminder_minutes: vec![2880, 120],
            },
            change,
        }
    }

    #[test]
    fn an_event_survives_the_wire() {
        let earlier = DateTime::from_timestamp(1_790_000_000, 0).unwrap();
        for change in [
            AppointmentChange::Booked,
            AppointmentChange::Rescheduled {
                started_at: earlier,
                ended_at: earlier,
                by_time_zone_rules: true,
                location_id: Uuid::now_v7(),
            },
            AppointmentChange::Cancelled { by_patient: true },
            AppointmentChange::Cancelled { by_patient: false },
            AppointmentChange::Arrived {
                walk_in: true,
                corrected: false,
            },
            AppointmentChange::Fulfilled,
            AppointmentChange::NoShow,
            AppointmentChange::Orphaned,
        ] {
            let event = event(change);
            assert_eq!(AppointmentEvent::decode(&event.encode()), Ok(event));
        }
    }

    #[test]
    fn what_is_no_event_is_rejected() {
        assert!(AppointmentEvent::decode(b"").is_err());
        assert!(AppointmentEvent::decode(b"{\"json\": true}").is_err());
        let bytes = event(AppointmentChange::NoShow).encode();
        assert!(AppointmentEvent::decode(&bytes[..bytes.len() - 3]).is_err());
        // A patient event has other fields under the same numbers.
        let patient = crate::PatientEvent {
            id: Uuid::now_v7(),
            occurred_at: DateTime::from_timestamp(1_790_000_000, 0).unwrap(),
            patient_id: Uuid::now_v7(),
            patient_version: 1,
            change: crate::Change::Deleted,
        };
        assert!(AppointmentEvent::decode(&patient.encode()).is_err());
    }
}
