//! What messages about appointments are about, and how they reach the patient.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::notification::Kind;

/// The occasion of a message about an appointment.
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
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
#[schema(as = AppointmentMessageKind)]
pub enum Occasion {
    /// The appointment was booked.
    AppointmentBooked,
    /// It takes place at another time.
    AppointmentMoved,
    /// It does not take place.
    AppointmentCancelled,
    /// It takes place soon.
    AppointmentReminder,
}

impl Occasion {
    /// Every occasion.
    pub const ALL: &[Self] = <Self as strum::VariantArray>::VARIANTS;

    /// The name in the database and the API.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// Whether patients may choose not to be told. They are always told that the clinic has moved
    /// or cancelled an appointment.
    #[must_use]
    pub const fn is_optional(self) -> bool {
        !matches!(self, Self::AppointmentMoved)
    }
}

impl From<Occasion> for Kind {
    fn from(occasion: Occasion) -> Self {
        match occasion {
            Occasion::AppointmentBooked => Self::AppointmentBooked,
            Occasion::AppointmentMoved => Self::AppointmentMoved,
            Occasion::AppointmentCancelled => Self::AppointmentCancelled,
            Occasion::AppointmentReminder => Self::AppointmentReminder,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_occasion_has_one_name_everywhere() {
        for &occasion in Occasion::ALL {
            assert_eq!(occasion.name().parse(), Ok(occasion));
            let json = format!("\"{}\"", occasion.name());
            assert_eq!(serde_json::to_string(&occasion).unwrap(), json);
            assert_eq!(serde_json::to_string(&Kind::from(occasion)).unwrap(), json);
        }
    }
}
