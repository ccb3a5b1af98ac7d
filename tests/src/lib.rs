//! What looks at the system as a whole: the description of its API, and a client of the
//! deployed system for black-box tests. Each of its calls states the status that it
//! expects, and fails the test with all that was answered instead.

#![allow(
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "the client is for tests, and a test fails by panicking"
)]

mod aws;
mod call;
mod clinic;
mod http;
pub mod logs;
pub mod openapi_document;
mod patient;
mod processes;
mod stack;
mod topic;
mod waiting;

pub use aws::{Aws, DeadLetter, Invoked, Mail};
pub use call::{Answer, Call, Problem};
pub use clinic::{Clinic, Visitor};
pub use http::http_client;
pub use patient::{NewPatient, Patient};
pub use processes::{Frozen, Process, Restart};
pub use stack::{NoStack, Stack, User};
pub use topic::{PatientRecord, Topic};
pub use waiting::{PATIENCE, eventually, within};
