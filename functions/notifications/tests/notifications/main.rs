//! Notifications against a real DynamoDB API, and a mail service that answers as SES does.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod fixtures;
mod listing;
mod notifying;
mod sample_events;

use std::sync::LazyLock;

use schemas::{Service, together};
use sqlx::migrate::Migrator;

/// Those that publish functions which the service calls.
static SCHEMAS: LazyLock<Migrator> =
    LazyLock::new(|| together([Service::Audit, Service::Patients]));
