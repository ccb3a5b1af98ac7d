//! Who belongs together: how patients are related, and who lives with whom.
//!
//! A relationship is stored once, and each of the two sees it from their side. A family is who lives
//! together, with a head and an address that they share. Neither is a part of a patient's record:
//! to change one is not to change the patient.

pub mod end_relationship;
pub mod get_family;
mod pair;
mod period;
pub mod record_relationship;
pub mod replace_family;
mod role;

pub(crate) use pair::{Clash, Pair};
pub(crate) use period::{Days, Period};
pub(crate) use role::Role;

/// How many relationships a patient may have.
const MOST_RELATIONSHIPS: i64 = 50;

/// How many members a family may have.
const MOST_MEMBERS: usize = 30;
