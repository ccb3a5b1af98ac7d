//! Analytics with a real DynamoDB API: what is counted, and the responses to clients.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod counting;
mod fixtures;
mod querying;
mod sample_events;
