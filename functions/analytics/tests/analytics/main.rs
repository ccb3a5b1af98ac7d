//! Analytics with a real DynamoDB API: what is counted, and the responses to clients.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod appointment_events;
mod batches;
mod billing;
mod counting;
mod counting_appointments;
mod delivery;
mod fixtures;
mod querying;
mod querying_appointments;
mod recounting;
mod sample_events;
