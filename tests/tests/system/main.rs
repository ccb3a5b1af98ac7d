//! The deployed system as its users see it. Run with a stack's environment:
//! `cargo run --package local-stack -- exec cargo test --package system-tests`.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "tests fail by panicking"
)]

mod access;
mod accounts;
mod answers;
mod appointment_analytics;
mod appointments;
mod audit_trail;
mod billing;
mod billing_analytics;
mod command_line;
mod consumers;
mod cors;
mod database_role;
mod dead_letters;
mod documentation;
mod events;
mod files;
mod idempotency;
mod import;
mod local_invocation;
mod login;
mod methods;
mod patients;
mod readme;
mod reference_client;
mod refusals;
mod resilience;
mod sample_events;
mod sessions;
mod trace;
mod whole_flow;
