//! The billing service over real HTTP/2 with a real PostgreSQL, its client, and the route that
//! shows an account.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests fail by panicking"
)]

mod client;
mod open_services;
mod overload;
mod process;
mod route;
mod routes;
mod running;
mod service;

use std::sync::LazyLock;

use schemas::{Service, together};
use sqlx::migrate::Migrator;

/// The service's schema and those whose published functions it calls.
static SCHEMAS: LazyLock<Migrator> =
    LazyLock::new(|| together([Service::Billing, Service::Audit, Service::Patients]));
