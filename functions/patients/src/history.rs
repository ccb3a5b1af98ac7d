//! The history of a patient: every version, written in the transaction that makes it.

use api::Problem;
use chrono::{DateTime, Utc};
use identity::{Caller, Permission};
use patient_access::must_see_if;
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use store::Transaction;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::patient::{Patient, deleted, not_found};

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
    /// Two records were merged: the other one into this one, or this one into the other.
    Merge,
    /// A merge was undone: the record is as it was before.
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

/// Rejects callers who may not see this patient's history: that of a deleted patient is only for
/// those who may see who was deleted. A record that was merged is as closed as the one that
/// continues it.
///
/// # Errors
/// 403 or 404; or if the database fails.
pub(crate) async fn must_be_seen(
    caller: Caller,
    patient: Uuid,
    database: &PgPool,
) -> Result<(), Problem> {
    let found = sqlx::query!(
        r#"SELECT own.restricted OR coalesce(survivor.restricted, false) AS "restricted!",
                  coalesce(own.deleted_at, survivor.deleted_at) IS NOT NULL AS "is_deleted!"
           FROM patients.patient AS own
           LEFT JOIN patients.patient AS survivor ON survivor.id = own.merged_into
           WHERE own.id = $1"#,
        patient,
    )
    .fetch_optional(database)
    .await?
    .ok_or_else(not_found)?;
    must_see_if(caller, found.restricted)?;
    if found.is_deleted && !caller.role.may(Permission::SeeDeletedPatients) {
        return Err(deleted());
    }
    Ok(())
}

/// Writes the versions that these patients are now, made by the same user.
///
/// # Errors
/// If the database fails.
pub(crate) async fn write_all(
    patients: &[Patient],
    kind: VersionKind,
    actor: Option<Uuid>,
    transaction: &mut Transaction,
) -> Result<(), sqlx::Error> {
    let (mut ids, mut versions, mut snapshots, mut times) = (vec![], vec![], vec![], vec![]);
    for patient in patients {
        let snapshot = serde_json::to_string(patient);
        ids.push(patient.id);
        versions.push(patient.version);
        snapshots.push(snapshot.map_err(|error| sqlx::Error::Encode(error.into()))?);
        times.push(patient.updated_at);
    }
    sqlx::query!(
        "INSERT INTO patients.patient_version (patient_id, version, kind, snapshot, at, actor_id)
         SELECT patient_id, version, $5, snapshot::jsonb, at, $6
         FROM unnest($1::uuid[], $2::bigint[], $3::text[], $4::timestamptz[])
             AS made (patient_id, version, snapshot, at)",
        &ids,
        &versions,
        &snapshots,
        &times,
        <&str>::from(kind),
        actor,
    )
    .execute(transaction)
    .await?;
    Ok(())
}
