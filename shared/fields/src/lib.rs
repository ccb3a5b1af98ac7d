//! What people type into forms, read into the one form that is stored.
//!
//! Whatever means the same is stored the same, and what cannot mean anything, or looks like
//! something else than it is, is refused with the reason.

mod email;
mod text;

pub use email::{EmailAddress, InvalidEmailAddress};
pub use text::{InvalidText, Line, Lines};
