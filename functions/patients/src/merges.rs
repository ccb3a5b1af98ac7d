//! Two records of one patient become one, and two again if that was a mistake.
//!
//! The duplicate is kept for its id: whatever other services have of it stays where it is, and is
//! found by either id (`patients.canonical`, `patients.ids_of`). Both records are locked in the order
//! of their ids. Chains are flattened: a record that had been merged into the duplicate is the
//! survivor's afterwards.

mod belongings;
mod chosen;
pub mod merge_patients;
pub mod undo_merge;

use audit_trail::{Resource, ResourceType};
use serde::{Deserialize, Serialize};
use store::Transaction;
use uuid::Uuid;

use crate::{patient::Patient, storage};

/// The merge as an entry in the audit trail names it.
const fn on_record(id: Uuid) -> Resource {
    Resource {
        kind: ResourceType::PatientMerge,
        id,
    }
}

/// A record that had been merged into the duplicate: the version that makes it the survivor's, and
/// the one before.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Moved {
    id: Uuid,
    before: i64,
    version: i64,
    /// Whether it was restricted before.
    restricted: bool,
}

/// Locks both records in the order of their ids.
async fn lock_both(
    transaction: &mut Transaction,
    one: Uuid,
    other: Uuid,
) -> Result<(Option<Patient>, Option<Patient>), sqlx::Error> {
    if one < other {
        let first = storage::lock(one, transaction).await?;
        let second = storage::lock(other, transaction).await?;
        Ok((first, second))
    } else {
        let second = storage::lock(other, transaction).await?;
        let first = storage::lock(one, transaction).await?;
        Ok((first, second))
    }
}
