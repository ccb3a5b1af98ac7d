//! Analytics with a real DynamoDB API: what is counted, and the responses to clients.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod counting;
mod fixtures;
mod querying;
mod sample_events;
