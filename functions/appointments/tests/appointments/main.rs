//! The routes and the jobs on a real PostgreSQL.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "tests fail by panicking"
)]

mod absences;
mod availability;
mod booking;
mod clinic;
mod contention;
mod cost;
mod deleted_patients;
mod holds;
mod links;
mod measure;
mod moving;
mod outcomes;
mod restricted;
mod schedules;
mod series;
mod third_next;
mod waitlist;
mod zone_rules;

use std::sync::LazyLock;

use schemas::{Service, together};
use sqlx::migrate::Migrator;

/// The service's schema and those whose published functions it calls.
static SCHEMAS: LazyLock<Migrator> = LazyLock::new(|| {
    together([
        Service::Patients,
        Service::Audit,
        Service::Auth,
        Service::Appointments,
    ])
});
