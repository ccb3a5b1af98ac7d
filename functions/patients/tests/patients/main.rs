//! The routes and the relay on a real PostgreSQL.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "tests fail by panicking"
)]

mod addresses;
mod after_answer;
mod backfill;
mod bodies;
mod closing;
mod connections;
mod dates;
mod documented;
mod duplicates;
mod families;
mod finding;
mod fixtures;
mod groups;
mod history;
mod human_text;
mod idempotency;
mod lost_connections;
mod measure;
mod merged;
mod merges;
mod migrations;
mod on_record;
mod plans;
mod preconditions;
mod queries;
mod record;
mod relay;
mod restricted;
mod round_trips;
mod routes;
mod slow_receivers;
mod welcome;

use std::sync::LazyLock;

use schemas::{Service, together};
use sqlx::migrate::Migrator;

/// The service's schema and those whose published functions it calls.
static SCHEMAS: LazyLock<Migrator> =
    LazyLock::new(|| together([Service::Patients, Service::Audit, Service::Auth]));
