//! The billing service over real HTTP/2 with a real PostgreSQL, its client, and the route that
//! shows an account.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::ref_option,
    reason = "tests fail by panicking, and the fields of messages are options"
)]

mod charges;
mod client;
mod comparison;
mod corrections;
mod desk;
mod erasure;
mod events;
mod histories;
mod invoices;
mod ledger;
mod merged;
mod midnight;
mod modelled;
mod open_services;
mod overload;
mod payments;
mod prices;
mod process;
mod refunds;
mod repeated;
mod reports;
mod route;
mod routes;
mod running;
mod service;
mod verification;

use std::sync::LazyLock;

use schemas::{Service, together};
use sqlx::migrate::Migrator;

/// The service's schema and those whose published functions it calls.
static SCHEMAS: LazyLock<Migrator> = LazyLock::new(|| {
    together([
        Service::Billing,
        Service::Appointments,
        Service::Audit,
        Service::Notifications,
        Service::Patients,
    ])
});
