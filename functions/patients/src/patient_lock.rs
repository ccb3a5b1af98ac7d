//! Holds patients still while something is recorded that is not a part of them.

use api::Problem;
use identity::Caller;
use patient_access::must_see_if;
use store::Transaction;
use uuid::Uuid;

use crate::patient::{deleted, merged, not_found};

/// Makes sure that these patients exist, and that the caller may see them, until the transaction
/// ends. What two patients are to each other is changed by one transaction at a time.
///
/// # Errors
/// 404 if one of them does not exist or is deleted, 403 if the caller may not see one of them, 409 if
/// one of them was merged into another.
pub(crate) async fn hold(
    transaction: &mut Transaction,
    caller: Caller,
    patients: &[Uuid],
) -> Result<(), Problem> {
    // In the order of their ids, as everybody does, so that nobody waits for each other.
    let found = sqlx::query!(
        r#"SELECT id, restricted, deleted_at IS NOT NULL AS "is_deleted!",
                  merged_into IS NOT NULL AS "is_merged!"
           FROM patients.patient WHERE id = ANY($1) ORDER BY id FOR NO KEY UPDATE"#,
        patients,
    )
    .fetch_all(transaction)
    .await?;
    for id in patients {
        let patient = found.iter().find(|patient| patient.id == *id);
        let patient = patient.ok_or_else(not_found)?;
        must_see_if(caller, patient.restricted)?;
        if patient.is_deleted {
            return Err(deleted());
        }
        if patient.is_merged {
            return Err(merged());
        }
    }
    Ok(())
}
