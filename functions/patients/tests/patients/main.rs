//! The routes and the relay on a real PostgreSQL.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test fails where it cannot go on"
)]

mod fixtures;
mod idempotency;
mod lost_connections;
mod relay;
mod routes;
