//! Notifications against a real DynamoDB API, and a mail service that answers as SES does.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod fixtures;
mod listing;
mod notifying;
mod sample_events;

use std::sync::LazyLock;

use sqlx::migrate::Migrator;
use store::testing::together;

/// Those that publish functions which the service calls.
static SCHEMAS: LazyLock<Migrator> = LazyLock::new(|| {
    together([
        sqlx::migrate!("../audit/migrations"),
        sqlx::migrate!("../patients/migrations"),
    ])
});
