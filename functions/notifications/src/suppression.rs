//! Why a message was not sent.

use serde::{Deserialize, Serialize};
use sqlx::PgExecutor;

/// Why a message was not sent, although it was due once.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    strum::Display,
    strum::EnumString,
    strum::IntoStaticStr,
)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum Suppression {
    /// A reminder would have been due before the appointment was booked.
    PastAtBooking,
    /// The appointment was moved since.
    Superseded,
    /// The appointment was cancelled since.
    Cancelled,
    /// The patient has come, or has not; or the invoice was taken back.
    NoLongerNeeded,
    /// The appointment has started.
    AlreadyStarted,
    /// There is no such appointment.
    AppointmentGone,
    /// There is no such patient any more.
    PatientGone,
    /// The patient's record is restricted, and they need not be told.
    Restricted,
    /// The patient does not want it, or not on this channel.
    NotWanted,
    /// The patient has no e-mail address.
    NoAddress,
    /// Mail to this address has come back, or its owner has complained.
    AddressSuppressed,
    /// It would have arrived in the quiet hours, and they end too late.
    QuietHours,
}

impl Suppression {
    /// The name in the database and the API.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// Whether nothing may be sent to the address. Who has complained is still told what they must be
/// told; where mail has come back, there is nobody to tell.
pub(crate) async fn is_suppressed(
    recipient: &str,
    must_be_told: bool,
    database: impl PgExecutor<'_>,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"SELECT EXISTS (
               SELECT FROM notifications.suppressed_address
               WHERE address = lower($1) AND (reason = 'BOUNCED' OR NOT $2)
           ) AS "suppressed!""#,
        recipient,
        must_be_told,
    )
    .fetch_one(database)
    .await
}
