//! A place where patients are seen.

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

/// A location as clients get it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(title = "Location", example = json!({
    "id": "0199f7a2-6c1e-7c35-9b6c-0d2a54f3c1aa",
    "version": 1,
    "name": "Harbour Street",
    "timeZone": "Europe/London",
    "createdAt": "2026-01-10T09:30:00.123456Z"
}))]
pub(crate) struct Location {
    /// Identifies the location; never changes.
    pub(crate) id: Uuid,
    /// 1 on creation.
    pub(crate) version: i64,
    /// What the clinic calls it.
    pub(crate) name: String,
    /// The IANA name of its time zone.
    pub(crate) time_zone: String,
    /// When it was set up.
    pub(crate) created_at: DateTime<Utc>,
}
