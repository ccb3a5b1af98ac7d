//! What an action is about beside people: an invoice, an appointment.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// A kind of thing that has an id of its own.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    Deserialize,
    ToSchema,
    strum::Display,
    strum::EnumString,
    strum::IntoStaticStr,
    strum::VariantArray,
)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[strum(
    serialize_all = "SCREAMING_SNAKE_CASE",
    parse_err_ty = UnknownResourceType,
    parse_err_fn = UnknownResourceType::of
)]
pub enum ResourceType {
    /// The account that a patient is billed through.
    BillingAccount,
    /// What something costs from a date on.
    Price,
    /// Something that a patient is to pay for.
    Charge,
    /// An invoice.
    Invoice,
    /// A payment.
    Payment,
    /// A refund.
    Refund,
    /// A patient's appointment.
    Appointment,
    /// A place where patients are seen.
    Location,
    /// A clinician, a room or a device.
    Resource,
    /// Something that appointments are for.
    Service,
    /// A patient's place on the waitlist.
    WaitlistEntry,
    /// Patients who have something in common.
    Group,
    /// An import of patients from a file.
    PatientImport,
    /// An export of patients to a file.
    PatientExport,
    /// A merge of two records of one patient.
    PatientMerge,
}

/// There is no type of resource of this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no such type of resource")]
pub struct UnknownResourceType;

impl UnknownResourceType {
    const fn of(_: &str) -> Self {
        Self
    }
}

impl ResourceType {
    /// Every type.
    pub const ALL: &[Self] = <Self as strum::VariantArray>::VARIANTS;

    /// The name in the database and the API.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// A thing that an action is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resource {
    /// What it is.
    pub kind: ResourceType,
    /// Which one it is.
    pub id: Uuid,
}

impl Resource {
    /// The resource of this type with this id.
    #[must_use]
    pub const fn new(kind: ResourceType, id: Uuid) -> Self {
        Self { kind, id }
    }

    /// The appointment with this id.
    #[must_use]
    pub const fn appointment(id: Uuid) -> Self {
        Self {
            kind: ResourceType::Appointment,
            id,
        }
    }

    /// The billing account with this id.
    #[must_use]
    pub const fn billing_account(id: Uuid) -> Self {
        Self {
            kind: ResourceType::BillingAccount,
            id,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_has_one_name_everywhere() {
        for &kind in ResourceType::ALL {
            assert_eq!(kind.name().parse(), Ok(kind));
            let json = format!("\"{}\"", kind.name());
            assert_eq!(serde_json::from_str::<ResourceType>(&json).unwrap(), kind);
        }
        assert_eq!("DANCE".parse::<ResourceType>(), Err(UnknownResourceType));
    }
}
