//! An import as clients get it.

use api::Problem;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::PgExecutor;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{FileFormat, layout::Layout};
use crate::stored::stored;

/// How far an import is.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema, strum::EnumString,
)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
#[schema(as = ImportState)]
pub(crate) enum State {
    /// The file is not there yet.
    AwaitingUpload,
    /// The file is being read.
    Running,
    /// Each line has an outcome.
    Completed,
    /// The file cannot be read, or whoever sent it may not import any more: no further line is
    /// taken.
    Refused,
    /// No file came within a day.
    Expired,
}

/// An import.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(title = "PatientImport", as = PatientImport, example = json!({
    "id": "0199f7a2-6c1e-7c35-9b6c-0d2a54f3c1e0",
    "state": "COMPLETED",
    "format": "CSV",
    "welcome": false,
    "total": 3,
    "processed": 3,
    "created": 1,
    "duplicates": 1,
    "refused": 1,
    "ignoredColumns": ["Hausarzt"],
    "refusal": null,
    "outcomesUrl": "https://bucket.example/imports/0199f7a2-6c1e-7c35-9b6c-0d2a54f3c1e0/outcomes?X-Amz-Signature=…",
    "outcomesUrlExpiresAt": "2027-01-10T09:45:00.123456Z",
    "createdAt": "2027-01-10T09:30:00.123456Z",
    "startedAt": "2027-01-10T09:30:10.123456Z",
    "finishedAt": "2027-01-10T09:30:20.123456Z"
}))]
pub(crate) struct Import {
    /// Identifies the import.
    pub(crate) id: Uuid,
    /// How far it is.
    pub(crate) state: State,
    /// How the file is laid out.
    pub(crate) format: FileFormat,
    /// Whether those who are created get a welcome message.
    pub(crate) welcome: bool,
    /// How many records the file has, not counting its header; null until it has been looked at.
    #[schema(required)]
    pub(crate) total: Option<i32>,
    /// How many of them have an outcome.
    pub(crate) processed: i32,
    /// How many became patients.
    pub(crate) created: i32,
    /// How many are patients already: they were left alone.
    pub(crate) duplicates: i32,
    /// How many could not be read as patients.
    pub(crate) refused: i32,
    /// The titles of the columns that were not taken, at most 60 characters of each.
    pub(crate) ignored_columns: Vec<String>,
    /// Why the whole file is refused; null if it is not.
    #[schema(required)]
    pub(crate) refusal: Option<String>,
    /// Where to download the outcome of each record, as a JSON object per line: `line`, on which it
    /// begins, counted from 1; `outcome`, which is `CREATED` (it is a patient now), `DUPLICATE` (it is
    /// a patient already, and was left alone) or `REFUSED` (it cannot be read as a patient);
    /// `patientId`, or null; and `reason`, or null. Null until the import is completed.
    #[schema(required)]
    pub(crate) outcomes_url: Option<String>,
    /// Until when; every answer has a new link.
    #[schema(required)]
    pub(crate) outcomes_url_expires_at: Option<DateTime<Utc>>,
    /// When it was asked for.
    pub(crate) created_at: DateTime<Utc>,
    /// When the file was found.
    #[schema(required)]
    pub(crate) started_at: Option<DateTime<Utc>>,
    /// When it ended, however it did.
    #[schema(required)]
    pub(crate) finished_at: Option<DateTime<Utc>>,
}

impl Import {
    /// The import with this id, without a link.
    ///
    /// # Errors
    /// 404 if there is none, or if the database fails.
    pub(crate) async fn find(database: impl PgExecutor<'_>, id: Uuid) -> Result<Self, Problem> {
        let row = sqlx::query!(
            "SELECT id, state, format, welcome, total, created, duplicates, refused, layout,
                    refusal, created_at, started_at, finished_at
             FROM patients.import WHERE id = $1",
            id,
        )
        .fetch_optional(database)
        .await?
        .ok_or_else(|| Problem::not_found("Import not found"))?;
        let layout = row.layout.map(serde_json::from_value::<Layout>).transpose();
        let layout = layout.map_err(Problem::internal)?;
        Ok(Self {
            id: row.id,
            state: stored(&row.state).map_err(Problem::internal)?,
            format: stored(&row.format).map_err(Problem::internal)?,
            welcome: row.welcome,
            total: row.total,
            processed: row.created + row.duplicates + row.refused,
            created: row.created,
            duplicates: row.duplicates,
            refused: row.refused,
            ignored_columns: layout.map(|layout| layout.ignored).unwrap_or_default(),
            refusal: row.refusal,
            outcomes_url: None,
            outcomes_url_expires_at: None,
            created_at: row.created_at,
            started_at: row.started_at,
            finished_at: row.finished_at,
        })
    }
}
