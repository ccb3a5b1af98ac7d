//! What happened to a patient, as the rest of the system learns of it.

use chrono::{DateTime, NaiveDate, Utc};
use contracts::{PATIENT_EVENTS_TOPIC, patient::v1};
use prost::Message as _;
use uuid::Uuid;

use crate::{
    Event, Mark,
    wire::{instant, timestamp, version},
};

/// Something that happened to a patient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PatientEvent {
    /// Consumers act once per id.
    pub id: Uuid,
    /// When the change was committed, to the microsecond.
    pub occurred_at: DateTime<Utc>,
    /// The patient that it happened to.
    pub patient_id: Uuid,
    /// The patient's version after the change: 1 on creation, then increasing. A version without an
    /// event is a change that concerns no other service, such as a restriction of the record.
    pub patient_version: i64,
    /// What happened.
    pub change: Change,
}

/// What happened, with the patient's data afterwards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The patient was registered.
    Created(Patient),
    /// A patient whom the clinic already knew was registered, and gets no welcome message.
    CreatedWithoutWelcome(Patient),
    /// The patient's data changed.
    Updated(Patient),
    /// The patient was deleted, and may be restored.
    Deleted,
    /// The patient was restored.
    Restored(Patient),
    /// The patient, who had been deleted, was erased: nothing may remain that tells who they were.
    Erased,
    /// The record was merged into another one.
    Merged {
        /// The patient whose record continues.
        survivor: Uuid,
    },
    /// A merge was undone: the record is in use again.
    Unmerged(Patient),
}

impl Change {
    /// The kind of change in one word, for logs and counters.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Created(_) | Self::CreatedWithoutWelcome(_) => "created",
            Self::Updated(_) => "updated",
            Self::Deleted => "deleted",
            Self::Restored(_) => "restored",
            Self::Erased => "erased",
            Self::Merged { .. } => "merged",
            Self::Unmerged(_) => "unmerged",
        }
    }
}

/// A patient's data.
#[derive(Clone, PartialEq, Eq)]
pub struct Patient {
    /// Full name.
    pub name: String,
    /// E-mail address, if they have one.
    pub email: Option<String>,
    /// Postal address, if they have one.
    pub address: Option<String>,
    /// Date of birth; the first possible day, if less is known.
    pub date_of_birth: NaiveDate,
    /// When the clinic registered them.
    pub registered_date: NaiveDate,
}

/// Keeps a patient's data out of logs.
impl std::fmt::Debug for Patient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Patient").finish_non_exhaustive()
    }
}

/// The bytes are not an event, or one of an unknown kind. The reason names the field, never
/// its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an event: {0}")]
pub struct Undecodable(pub &'static str);

impl PatientEvent {
    /// The event as protobuf.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        use v1::patient_event::Change as Wire;
        let change = match &self.change {
            Change::Created(patient) => Wire::Created(v1::PatientCreated {
                patient: Some(patient.into()),
                without_welcome: false,
            }),
            Change::CreatedWithoutWelcome(patient) => Wire::Created(v1::PatientCreated {
                patient: Some(patient.into()),
                without_welcome: true,
            }),
            Change::Updated(patient) => Wire::Updated(v1::PatientUpdated {
                patient: Some(patient.into()),
            }),
            Change::Deleted => Wire::Deleted(v1::PatientDeleted {}),
            Change::Restored(patient) => Wire::Restored(v1::PatientRestored {
                patient: Some(patient.into()),
            }),
            Change::Erased => Wire::Erased(v1::PatientErased {}),
            Change::Merged { survivor } => Wire::Merged(v1::PatientMerged {
                survivor_id: survivor.to_string(),
            }),
            Change::Unmerged(patient) => Wire::Unmerged(v1::PatientUnmerged {
                patient: Some(patient.into()),
            }),
        };
        v1::PatientEvent {
            event_id: self.id.to_string(),
            occurred_at: Some(timestamp(self.occurred_at)),
            patient_id: self.patient_id.to_string(),
            patient_version: self.patient_version.cast_unsigned(),
            change: Some(change),
        }
        .encode_to_vec()
    }

    /// Reads an event.
    ///
    /// # Errors
    /// If it differs in any way from what [`encode`](Self::encode) writes.
    pub fn decode(bytes: &[u8]) -> Result<Self, Undecodable> {
        use v1::patient_event::Change as Wire;
        let event = v1::PatientEvent::decode(bytes).map_err(|_| Undecodable("not protobuf"))?;
        let occurred_at = instant(event.occurred_at, "occurred_at")?;
        let change = match event.change.ok_or(Undecodable("change"))? {
            Wire::Created(created) => {
                let patient = patient(created.patient)?;
                if created.without_welcome {
                    Change::CreatedWithoutWelcome(patient)
                } else {
                    Change::Created(patient)
                }
            }
            Wire::Updated(updated) => Change::Updated(patient(updated.patient)?),
            Wire::Deleted(v1::PatientDeleted {}) => Change::Deleted,
            Wire::Restored(restored) => Change::Restored(patient(restored.patient)?),
            Wire::Erased(v1::PatientErased {}) => Change::Erased,
            Wire::Merged(merged) => Change::Merged {
                survivor: merged
                    .survivor_id
                    .parse()
                    .map_err(|_| Undecodable("survivor_id"))?,
            },
            Wire::Unmerged(unmerged) => Change::Unmerged(patient(unmerged.patient)?),
        };
        Ok(Self {
            id: event
                .event_id
                .parse()
                .map_err(|_| Undecodable("event_id"))?,
            occurred_at,
            patient_id: event
                .patient_id
                .parse()
                .map_err(|_| Undecodable("patient_id"))?,
            patient_version: version(event.patient_version, "patient_version")?,
            change,
        })
    }
}

impl Event for PatientEvent {
    const TOPIC: &'static str = PATIENT_EVENTS_TOPIC;

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

    /// A patient is over when they are deleted, unless they are restored, or when they are erased.
    fn mark(&self) -> Mark {
        Mark {
            about: self.patient_id,
            version: self.patient_version,
            attribute: "patientVersion",
            over_at: matches!(self.change, Change::Deleted | Change::Erased)
                .then_some(self.occurred_at),
        }
    }
}

fn patient(patient: Option<v1::Patient>) -> Result<Patient, Undecodable> {
    let patient = patient.ok_or(Undecodable("patient"))?;
    Ok(Patient {
        date_of_birth: patient
            .date_of_birth
            .parse()
            .map_err(|_| Undecodable("date_of_birth"))?,
        registered_date: patient
            .registered_date
            .parse()
            .map_err(|_| Undecodable("registered_date"))?,
        name: patient.name,
        email: Some(patient.email).filter(|email| !email.is_empty()),
        address: Some(patient.address).filter(|address| !address.is_empty()),
    })
}

impl From<&Patient> for v1::Patient {
    fn from(patient: &Patient) -> Self {
        Self {
            name: patient.name.clone(),
            email: patient.email.clone().unwrap_or_default(),
            address: patient.address.clone().unwrap_or_default(),
            date_of_birth: patient.date_of_birth.to_string(),
            registered_date: patient.registered_date.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(change: Change) -> PatientEvent {
        PatientEvent {
            id: Uuid::now_v7(),
            occurred_at: DateTime::from_timestamp(1_700_000_000, 123_456_000).unwrap(),
            patient_id: Uuid::now_v7(),
            patient_version: 2,
            change,
        }
    }

    fn zoe() -> Patient {
        Patient {
            name: "Zoë 🩺".to_owned(),
            email: Some("zoe@clinic.example".to_owned()),
            address: Some("1 Main St".to_owned()),
            date_of_birth: NaiveDate::from_ymd_opt(2000, 2, 29).unwrap(),
            registered_date: NaiveDate::from_ymd_opt(2024, 1, 1).unwrap(),
        }
    }

    #[test]
    fn an_event_survives_the_wire() {
        for change in [
            Change::Created(zoe()),
            Change::CreatedWithoutWelcome(zoe()),
            Change::Updated(zoe()),
            Change::Updated(Patient {
                email: None,
                address: None,
                ..zoe()
            }),
            Change::Deleted,
            Change::Restored(zoe()),
            Change::Erased,
            Change::Merged {
                survivor: Uuid::now_v7(),
            },
            Change::Unmerged(zoe()),
        ] {
            let event = event(change);
            assert_eq!(PatientEvent::decode(&event.encode()), Ok(event));
        }
    }

    #[test]
    fn a_truncated_event_is_rejected() {
        let bytes = event(Change::Created(zoe())).encode();
        for length in 0..bytes.len() {
            assert!(PatientEvent::decode(&bytes[..length]).is_err(), "{length}");
        }
        assert!(PatientEvent::decode(b"{\"json\": true}").is_err());
    }

    #[test]
    fn debug_output_reveals_nothing_of_the_patient() {
        let shown = format!("{:?}", event(Change::Created(zoe())));
        assert!(!shown.contains("Zoë") && !shown.contains("2000"), "{shown}");
    }
}
