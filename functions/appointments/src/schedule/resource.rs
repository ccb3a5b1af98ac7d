//! Who, or what, an appointment needs.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::PgExecutor;
use utoipa::ToSchema;
use uuid::Uuid;

use api::Problem;

/// What a resource is.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    ToSchema,
    strum::EnumString,
    strum::IntoStaticStr,
    strum::VariantArray,
)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum ResourceKind {
    /// Somebody who treats patients.
    Clinician,
    /// A room.
    Room,
    /// A device.
    Device,
}

impl ResourceKind {
    /// The name in the database and the API.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }
}

crate::database_enum!(ResourceKind);

/// A resource as clients get it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(title = "Resource", example = json!({
    "id": "0199f7a2-6c1e-7c35-9b6c-0d2a54f3c1aa",
    "version": 1,
    "kind": "CLINICIAN",
    "name": "Dr Amara Okafor",
    "locationId": "0199f7a2-6c1e-7c35-9b6c-0d2a54f3c1ab",
    "createdAt": "2026-01-10T09:30:00.123456Z"
}))]
pub(crate) struct Resource {
    /// Identifies the resource; never changes.
    pub(crate) id: Uuid,
    /// 1 on creation, incremented with every change of its hours, exceptions and absences.
    pub(crate) version: i64,
    /// What it is.
    pub(crate) kind: ResourceKind,
    /// What the clinic calls it.
    pub(crate) name: String,
    /// Where it is.
    pub(crate) location_id: Uuid,
    /// When it was set up.
    pub(crate) created_at: DateTime<Utc>,
}

/// The 404 for a resource that does not exist.
pub(crate) fn not_found() -> Problem {
    Problem::not_found("Resource not found")
}

/// Locks a resource, so that nothing is booked with it before its schedule has changed, and
/// counts the change.
///
/// # Errors
/// 404 if there is no such resource; or if the database does not respond.
pub(crate) async fn lock_to_change(
    database: impl PgExecutor<'_>,
    id: Uuid,
) -> Result<i64, Problem> {
    sqlx::query_scalar!(
        "UPDATE appointments.resource SET version = version + 1 WHERE id = $1 RETURNING version",
        id,
    )
    .fetch_optional(database)
    .await?
    .ok_or_else(not_found)
}
