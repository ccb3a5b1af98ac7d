//! Patients who were registered before billing knew addresses: billing is told who they are, some at a
//! time, beside everything else that waits in the outbox.
//!
//! What is told has the patient's version, so that it changes nothing that is newer.

use sqlx::{PgPool, error::DatabaseError};
use store::Transaction;

use crate::{outbox, storage};

/// How many patients one transaction covers. It delays only the erasure of one of them, and waits for
/// nobody else.
pub(crate) const AT_A_TIME: i64 = 100;

/// The SQLSTATE of a lock that was not available in time.
const LOCK_NOT_AVAILABLE: &str = "55P03";

/// Writes messages about the next patients to the outbox. Returns whether there were any. Writes nothing
/// while one of them is being erased; the next run sees the outcome.
///
/// # Errors
/// If the database fails. Then nobody was told of, and the next run begins with the same.
pub(crate) async fn tell_billing(database: &PgPool) -> Result<bool, sqlx::Error> {
    let mut transaction = Transaction::begin(database).await?;
    let left = sqlx::query!(
        "SELECT told_up_to, last FROM patients.billing_backfill FOR UPDATE SKIP LOCKED"
    )
    .fetch_optional(&mut transaction)
    .await?;
    let Some(left) = left else {
        transaction.rollback().await?;
        return Ok(false);
    };
    let next = sqlx::query_scalar!(
        "SELECT id FROM patients.patient
         WHERE id > $1 AND id <= $2
         ORDER BY id
         LIMIT $3
         FOR KEY SHARE",
        left.told_up_to,
        left.last,
        AT_A_TIME,
    )
    .fetch_all(&mut transaction)
    .await;
    let next = match next {
        Err(error) if took_too_long(&error) => {
            transaction.rollback().await?;
            return Ok(false);
        }
        next => next?,
    };
    if let Some(last) = next.last() {
        let patients = storage::find_all(&next, &mut transaction).await?;
        outbox::tell_billing_of(&patients, &mut transaction).await?;
        sqlx::query!("UPDATE patients.billing_backfill SET told_up_to = $1", last)
            .execute(&mut transaction)
            .await?;
    } else {
        sqlx::query!("DELETE FROM patients.billing_backfill")
            .execute(&mut transaction)
            .await?;
    }
    transaction.commit().await?;
    Ok(!next.is_empty())
}

/// Whether somebody else has held a lock for too long.
fn took_too_long(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(DatabaseError::code);
    code.is_some_and(|code| code == LOCK_NOT_AVAILABLE)
}
