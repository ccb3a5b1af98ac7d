//! What people type into forms, normalized into the form that is stored.
//!
//! Equivalent input is stored identically. Input that is meaningless, or displays as something
//! else, is rejected with the reason.

mod email;
mod phone;
mod text;

pub use email::{EmailAddress, InvalidEmailAddress};
pub use phone::{InvalidPhoneNumber, PhoneNumber};
pub use text::{InvalidText, Line, Lines};
