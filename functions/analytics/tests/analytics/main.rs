//! Analytics against a real DynamoDB API: what was counted, and what a client is answered.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod counting;
mod fixtures;
mod querying;
mod sample_events;
