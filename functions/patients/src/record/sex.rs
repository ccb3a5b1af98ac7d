//! Closed lists of what a member may say.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The sex that the clinic has on record. Nothing is concluded from it about how somebody sees
/// themselves: that is the gender identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Sex {
    /// Female.
    Female,
    /// Male.
    Male,
    /// Neither of the two.
    Other,
    /// It was asked, and is not known.
    Unknown,
}

/// Where a telephone, a mailbox or an address is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ContactUse {
    /// At home.
    Home,
    /// At work.
    Work,
    /// With the patient, wherever they are.
    Mobile,
    /// For a while.
    Temporary,
    /// No longer used.
    Old,
}
