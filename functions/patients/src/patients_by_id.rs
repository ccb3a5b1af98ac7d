//! Several patients at once, for answers about who belongs together.

use std::collections::HashMap;

use identity::{Caller, Permission};
use sqlx::{PgExecutor, Result};
use uuid::Uuid;

use crate::{patient::Patient, storage};

/// Those of these patients who are in use, and whom the caller may see.
///
/// # Errors
/// If the database fails.
pub(crate) async fn visible(
    database: impl PgExecutor<'_>,
    caller: Caller,
    ids: &[Uuid],
) -> Result<HashMap<Uuid, Patient>> {
    let sees_restricted = caller.role.may(Permission::SeeRestrictedPatients);
    let patients = storage::find_all(ids, database).await?;
    let visible = patients
        .into_iter()
        .filter(|patient| patient.deleted_at.is_none() && (!patient.restricted || sees_restricted));
    Ok(visible.map(|patient| (patient.id, patient)).collect())
}
