//! What people prove with that they are themselves, and how often they may try.

pub mod attempts;
pub mod change_password;
pub mod forgotten_password;
mod password;
mod password_rules;
pub mod set_password;

pub use password::{HashingFailed, InvalidPassword, Password, PasswordHash};
