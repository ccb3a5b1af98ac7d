//! The states of an appointment.
//!
//! ```text
//!   (hold) PENDING ──confirm──> BOOKED ──arrive──> ARRIVED ──fulfil──> FULFILLED
//!             │                  │  │                ^  ^
//!             └─────cancel───────┤  └──no-show──> NO_SHOW  (walk-in)
//!                                v
//!                            CANCELLED
//! ```

use api::{Problem, ProblemType};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The state of an appointment.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    ToSchema,
    strum::EnumString,
    strum::IntoStaticStr,
)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
#[schema(as = AppointmentStatus)]
pub enum Status {
    /// The slot is held for a few minutes, until somebody confirms it.
    Pending,
    /// The patient is expected.
    Booked,
    /// The patient is there.
    Arrived,
    /// It has taken place.
    Fulfilled,
    /// It will not take place.
    Cancelled,
    /// The patient did not come.
    NoShow,
}

crate::database_enum!(Status);

impl Status {
    /// The name in the database and the API.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// Rejects what cannot be done in this state, such as to "cancel" it.
    ///
    /// # Errors
    /// 409 unless the state is one of these.
    pub(crate) fn must_be_one_of(self, allowed: &[Self], verb: &str) -> Result<(), Problem> {
        if allowed.contains(&self) {
            return Ok(());
        }
        let state = self.name();
        Err(Problem::new(
            ProblemType::Conflict,
            format!("It is not possible to {verb} an appointment that is {state}"),
        ))
    }
}
