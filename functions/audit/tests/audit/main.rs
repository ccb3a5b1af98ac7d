//! The trail on a real PostgreSQL: who reads it, what shows that it was tampered with, and
//! what the gateway refused.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test fails where it cannot go on"
)]

mod listing;
mod plans;
mod refusals;
mod verifying;

use std::sync::LazyLock;

use audit_trail::{Action, Outcome, Record, Subject};
use identity::Role;
use schemas::{Service, together};
use sqlx::{PgPool, migrate::Migrator};
use uuid::Uuid;

/// The service's schema, and that of the service which knows names.
static SCHEMAS: LazyLock<Migrator> =
    LazyLock::new(|| together([Service::Audit, Service::Auth, Service::Patients]));

/// Somebody read a patient's record.
fn record(patient: Uuid) -> Record<'static> {
    Record {
        id: Uuid::now_v7(),
        actor: Some((Uuid::from_u128(1), Role::Clinician)),
        action: Action::ReadPatient,
        outcome: Outcome::Succeeded,
        problem: None,
        subject: Subject::Patient(patient),
        reason: None,
        source: Some("203.0.113.7"),
        request_id: Some("a-request"),
    }
}

async fn append(database: &PgPool, record: Record<'_>) {
    record.append(database).await.unwrap();
}
