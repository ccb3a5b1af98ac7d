//! Passwords: checking, changing and resetting them, and limiting how often one may be tried.

pub mod attempts;
pub mod change_password;
pub mod forgotten_password;
mod password;
mod password_rules;
pub mod set_password;

pub use password::{HashingFailed, InvalidPassword, Password, PasswordHash};
