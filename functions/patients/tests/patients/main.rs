//! The routes and the relay on a real PostgreSQL.

#![allow(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

mod fixtures;
mod idempotency;
mod routes;
