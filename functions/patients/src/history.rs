//! The history of a patient: every version, written in the transaction that makes it.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use store::Transaction;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::patient::Patient;

/// What made a version.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    ToSchema,
    strum::EnumString,
    strum::IntoStaticStr,
)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum VersionKind {
    /// The patient was registered.
    Create,
    /// Their data was changed, or the record was restricted or opened.
    Update,
    /// The patient was deleted: the last version, unless they are restored.
    Delete,
    /// The patient was restored.
    Restore,
    /// Two records were merged.
    Merge,
    /// A merge was undone.
    Unmerge,
}

/// Writes the version that the patient is now. `actor` is who made it: nobody, if no user did.
///
/// # Errors
/// If the database fails.
pub async fn write(
    patient: &Patient,
    kind: VersionKind,
    actor: Option<Uuid>,
    transaction: &mut Transaction,
) -> Result<(), sqlx::Error> {
    let at: DateTime<Utc> = patient.updated_at;
    let snapshot =
        serde_json::to_string(patient).map_err(|error| sqlx::Error::Encode(error.into()))?;
    sqlx::query!(
        "INSERT INTO patients.patient_version (patient_id, version, kind, snapshot, at, actor_id)
         VALUES ($1, $2, $3, $4::text::jsonb, $5, $6)",
        patient.id,
        patient.version,
        <&str>::from(kind),
        snapshot,
        at,
        actor,
    )
    .execute(transaction)
    .await?;
    Ok(())
}
