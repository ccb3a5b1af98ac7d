//! Something that appointments are for.

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use sqlx::PgExecutor;
use utoipa::ToSchema;
use uuid::Uuid;

use super::resource::ResourceKind;

/// A service as clients get it.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(title = "Service", example = json!({
    "id": "0199f7a2-6c1e-7c35-9b6c-0d2a54f3c1aa",
    "version": 1,
    "code": "CONSULT-30",
    "name": "Consultation",
    "durationMinutes": 30,
    "bufferAfterMinutes": 5,
    "gridMinutes": 15,
    "noticeMinutes": 120,
    "horizonDays": 365,
    "capacity": 1,
    "resourceKinds": ["CLINICIAN"],
    "reminderMinutes": [2880, 120],
    "createdAt": "2026-01-10T09:30:00.123456Z"
}))]
pub(crate) struct Service {
    /// Identifies the service; never changes.
    pub(crate) id: Uuid,
    /// 1 on creation.
    pub(crate) version: i64,
    /// The code under which it is billed.
    pub(crate) code: String,
    /// What the clinic calls it.
    pub(crate) name: String,
    /// How long it takes.
    pub(crate) duration_minutes: i32,
    /// How long its resources are not free after it.
    pub(crate) buffer_after_minutes: i32,
    /// Appointments start at multiples of this after midnight, on the clock of the location.
    pub(crate) grid_minutes: i32,
    /// How long before its start an appointment can still be booked.
    pub(crate) notice_minutes: i32,
    /// How many days ahead an appointment can be booked.
    pub(crate) horizon_days: i32,
    /// How many patients share a slot.
    pub(crate) capacity: i32,
    /// The kinds of resources that it needs, one of each.
    pub(crate) resource_kinds: Vec<ResourceKind>,
    /// When patients are reminded, in minutes before the start. Whole days are days of the
    /// calendar.
    pub(crate) reminder_minutes: Vec<i32>,
    /// When it was set up.
    pub(crate) created_at: DateTime<Utc>,
}

impl Service {
    pub(crate) fn duration(&self) -> TimeDelta {
        TimeDelta::minutes(self.duration_minutes.into())
    }

    pub(crate) fn buffer_after(&self) -> TimeDelta {
        TimeDelta::minutes(self.buffer_after_minutes.into())
    }

    pub(crate) fn notice(&self) -> TimeDelta {
        TimeDelta::minutes(self.notice_minutes.into())
    }

    pub(crate) fn horizon(&self) -> TimeDelta {
        TimeDelta::days(self.horizon_days.into())
    }
}

/// The service with this id.
///
/// # Errors
/// If the database does not respond.
pub(crate) async fn find(
    database: impl PgExecutor<'_>,
    id: Uuid,
) -> Result<Option<Service>, sqlx::Error> {
    sqlx::query_as!(
        Service,
        r#"SELECT id, version, code, name, duration_minutes, buffer_after_minutes, grid_minutes,
                  notice_minutes, horizon_days, capacity,
                  resource_kinds AS "resource_kinds: Vec<ResourceKind>", reminder_minutes, created_at
           FROM appointments.service WHERE id = $1"#,
        id,
    )
    .fetch_optional(database)
    .await
}
