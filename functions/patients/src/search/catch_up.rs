//! Patients who are not searchable yet, or by an earlier form of the terms: those of the time before
//! there was a search, and all of them after the folding has changed.

use std::time::Instant;

use sqlx::PgPool;
use store::Transaction;

use super::terms;
use crate::storage;

/// How many patients are made searchable in one transaction: whoever has learned a word holds on to
/// it until the end, and only the words of one patient are learned in an order.
const AT_A_TIME: i64 = 1;

/// Makes patients searchable until all are, or the time is up. Returns whether all are.
///
/// # Errors
/// If the database fails.
pub(crate) async fn catch_up(database: &PgPool, until: Instant) -> Result<bool, sqlx::Error> {
    loop {
        let mut transaction = Transaction::begin(database).await?;
        // Whoever is being changed at the moment gets their terms with the change.
        let ids = sqlx::query_scalar!(
            "SELECT id FROM patients.patient
             WHERE indexed_with < $1
             ORDER BY indexed_with, id
             LIMIT $2
             FOR NO KEY UPDATE SKIP LOCKED",
            terms::FORM,
            AT_A_TIME,
        )
        .fetch_all(&mut transaction)
        .await?;
        if ids.is_empty() {
            return Ok(true);
        }
        if Instant::now() >= until {
            return Ok(false);
        }
        for patient in storage::find_all(&ids, &mut transaction).await? {
            terms::store(&patient, &mut transaction).await?;
            sqlx::query!(
                "UPDATE patients.patient SET indexed_with = $2, sort_key = $3 WHERE id = $1",
                patient.id,
                terms::FORM,
                terms::sort_key(&patient),
            )
            .execute(&mut transaction)
            .await?;
        }
        transaction.commit().await?;
    }
}
