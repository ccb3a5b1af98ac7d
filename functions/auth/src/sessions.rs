//! Logging in, refreshing a session, and logging out.

pub mod access;
pub mod login;
pub mod logout;
pub mod logout_all;
pub mod refresh;
