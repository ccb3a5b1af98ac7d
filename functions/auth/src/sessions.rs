//! Logging in, staying in, and leaving.

pub mod access;
pub mod login;
pub mod logout;
pub mod logout_all;
pub mod refresh;
