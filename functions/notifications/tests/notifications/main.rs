//! Notifications with a real DynamoDB API, and a mail service that behaves like SES.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod fixtures;
mod listing;
mod notifying;
mod sample_events;

use std::sync::LazyLock;

use schemas::{Service, together};
use sqlx::migrate::Migrator;

/// The schemas whose published functions the service calls.
static SCHEMAS: LazyLock<Migrator> =
    LazyLock::new(|| together([Service::Audit, Service::Patients]));
