//! What messages about appointments, invoices and statements are about, and how they reach the patient.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::notification::{Channel, Kind};

/// The occasion of a message about an appointment, an invoice or a statement.
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
#[schema(as = MessageKind)]
pub enum Occasion {
    /// The appointment was booked.
    AppointmentBooked,
    /// It takes place at another time.
    AppointmentMoved,
    /// It does not take place.
    AppointmentCancelled,
    /// It takes place soon.
    AppointmentReminder,
    /// Somebody of the clinic has sent an invoice.
    InvoiceSent,
    /// Somebody of the clinic has sent a statement of the patient's account.
    StatementSent,
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
    /// or cancelled an appointment; and documents are sent when somebody asks for them.
    #[must_use]
    pub const fn is_optional(self) -> bool {
        !matches!(
            self,
            Self::AppointmentMoved | Self::InvoiceSent | Self::StatementSent
        )
    }

    /// Whether such messages are sent in this way. A text message has no room for a file.
    #[must_use]
    pub const fn is_sent_by(self, channel: Channel) -> bool {
        matches!(
            (self, channel),
            (_, Channel::Email)
                | (
                    Self::AppointmentBooked
                        | Self::AppointmentMoved
                        | Self::AppointmentCancelled
                        | Self::AppointmentReminder,
                    Channel::Sms
                )
        )
    }
}

impl From<Occasion> for Kind {
    fn from(occasion: Occasion) -> Self {
        match occasion {
            Occasion::AppointmentBooked => Self::AppointmentBooked,
            Occasion::AppointmentMoved => Self::AppointmentMoved,
            Occasion::AppointmentCancelled => Self::AppointmentCancelled,
            Occasion::AppointmentReminder => Self::AppointmentReminder,
            Occasion::InvoiceSent => Self::InvoiceSent,
            Occasion::StatementSent => Self::StatementSent,
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
