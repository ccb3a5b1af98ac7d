//! An export as clients get it.

use api::Problem;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::PgExecutor;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{import::FileFormat, stored::stored};

/// How far an export is.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema, strum::EnumString,
)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
#[schema(as = ExportState)]
pub(crate) enum State {
    /// The file is being written.
    Running,
    /// The file can be downloaded.
    Completed,
    /// Whoever asked for it may not export any more.
    Refused,
}

/// An export.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(title = "PatientExport", as = PatientExport, example = json!({
    "id": "0199f7a2-6c1e-7c35-9b6c-0d2a54f3c1f0",
    "state": "COMPLETED",
    "format": "NDJSON",
    "exported": 1024,
    "refusal": null,
    "downloadUrl": "https://bucket.example/exports/0199f7a2-6c1e-7c35-9b6c-0d2a54f3c1f0?X-Amz-Signature=…",
    "downloadUrlExpiresAt": "2027-01-10T09:45:00.123456Z",
    "createdAt": "2027-01-10T09:30:00.123456Z",
    "finishedAt": "2027-01-10T09:30:20.123456Z"
}))]
pub(crate) struct Export {
    /// Identifies the export.
    pub(crate) id: Uuid,
    /// How far it is.
    pub(crate) state: State,
    /// How the file is laid out.
    pub(crate) format: FileFormat,
    /// How many patients are in the file so far.
    pub(crate) exported: i32,
    /// Why there will be no file; null if there will.
    #[schema(required)]
    pub(crate) refusal: Option<String>,
    /// Where to download the file; null until the export is completed.
    #[schema(required)]
    pub(crate) download_url: Option<String>,
    /// Until when; every answer has a new link.
    #[schema(required)]
    pub(crate) download_url_expires_at: Option<DateTime<Utc>>,
    /// When it was asked for.
    pub(crate) created_at: DateTime<Utc>,
    /// When it ended.
    #[schema(required)]
    pub(crate) finished_at: Option<DateTime<Utc>>,
    /// Whether restricted patients are in it.
    #[serde(skip)]
    pub(crate) restricted: bool,
}

impl Export {
    /// The export with this id, without a link.
    ///
    /// # Errors
    /// 404 if there is none, or if the database fails.
    pub(crate) async fn find(database: impl PgExecutor<'_>, id: Uuid) -> Result<Self, Problem> {
        let row = sqlx::query!(
            "SELECT id, state, format, exported, refusal, restricted, created_at, finished_at
             FROM patients.export WHERE id = $1",
            id,
        )
        .fetch_optional(database)
        .await?
        .ok_or_else(|| Problem::not_found("Export not found"))?;
        Ok(Self {
            id: row.id,
            state: stored(&row.state).map_err(Problem::internal)?,
            format: stored(&row.format).map_err(Problem::internal)?,
            exported: row.exported,
            refusal: row.refusal,
            download_url: None,
            download_url_expires_at: None,
            created_at: row.created_at,
            finished_at: row.finished_at,
            restricted: row.restricted,
        })
    }
}
