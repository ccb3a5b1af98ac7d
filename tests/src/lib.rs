//! The system as a whole: the generator of its API document, and a client of the deployed system
//! for black-box tests. Each call states the status that it expects, and fails the test with the
//! whole response otherwise.

#![allow(
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "the client is for tests, which fail by panicking"
)]

mod aws;
mod broker;
mod call;
mod certificates;
mod clinic;
mod consumer_group;
mod drain;
pub mod generated;
mod http;
mod invariant;
pub mod logs;
mod names;
mod patient;
mod processes;
mod stack;
pub mod synthea;
mod topic;
mod waiting;

pub use aws::{Aws, DeadLetter, EventSourceMapping, Invoked, Mail};
pub use broker::{alter_broker, outlive_session};
pub use call::{Answer, Call, Problem};
pub use certificates::Server;
pub use clinic::{Clinic, Visitor};
pub use consumer_group::committed_offsets;
pub use drain::{CONSUMERS, Drain, PATIENT_CONSUMERS, Stuck};
pub use http::http_client;
pub use invariant::{Invariant, write_invariants};
pub use names::{
    GIVEN_NAMES, SURNAMES, given_name_of_somebody, invented_names, surname_of_somebody,
};
pub use patient::{NewPatient, Patient};
pub use processes::{Frozen, Process, Restart};
pub use stack::{NoStack, Stack, User};
pub use topic::{PatientRecord, RawRecord, Topic};
pub use waiting::{PATIENCE, eventually, within};
