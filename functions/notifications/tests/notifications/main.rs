//! Notifications with a real DynamoDB API, a real PostgreSQL, and a mail service that behaves like SES.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod deliveries;
mod fixtures;
mod listing;
mod notifying;
mod preferences;
mod sample_events;
mod scheduling;
mod sending;
mod templates;
mod unsubscribing;

use std::sync::LazyLock;

use schemas::{Service, together};
use sqlx::migrate::Migrator;

/// The service's schema and those whose published functions it calls.
static SCHEMAS: LazyLock<Migrator> =
    LazyLock::new(|| together([Service::Audit, Service::Patients, Service::Notifications]));
