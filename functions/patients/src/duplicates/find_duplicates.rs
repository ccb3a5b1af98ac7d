//! On a schedule: compares whoever is new or has changed with those who have something in common with
//! them, and keeps the pairs that are worth a look.

use std::{collections::BTreeSet, time::Instant};

use sqlx::PgPool;
use store::Transaction;
use uuid::Uuid;

use super::{alike, compared_with};
use crate::{patient::Patient, storage};

/// How many patients are compared with the others in one transaction.
const AT_ONCE: i64 = 100;

/// What a run has done.
#[derive(Debug, Default, serde::Serialize)]
pub struct Compared {
    /// How many patients were compared with the others.
    pub patients: usize,
    /// Whether there are more.
    pub unfinished: bool,
}

/// Compares until nobody is left, or the time is up.
///
/// # Errors
/// If the database fails.
pub async fn find_duplicates(database: &PgPool, until: Instant) -> Result<Compared, sqlx::Error> {
    let mut compared = Compared::default();
    loop {
        if Instant::now() >= until {
            compared.unfinished = true;
            return Ok(compared);
        }
        let mut transaction = Transaction::begin(database).await?;
        // Nobody waits for these rows: whoever is changed meanwhile leaves another one.
        let rows = sqlx::query!(
            "SELECT id, patient_id FROM patients.duplicate_check
             ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED",
            AT_ONCE,
        )
        .fetch_all(&mut transaction)
        .await?;
        if rows.is_empty() {
            transaction.rollback().await?;
            return Ok(compared);
        }
        let ids: BTreeSet<Uuid> = rows.iter().map(|row| row.patient_id).collect();
        let ids: Vec<Uuid> = ids.into_iter().collect();
        let mut found = Pairs::default();
        for patient in storage::find_all(&ids, &mut transaction).await? {
            if patient.deleted_at.is_none() && patient.merged_into.is_none() {
                found.of(&patient, &mut transaction).await?;
            }
        }
        found.keep(&ids, &mut transaction).await?;
        let done: Vec<i64> = rows.iter().map(|row| row.id).collect();
        sqlx::query!(
            "DELETE FROM patients.duplicate_check WHERE id = ANY($1)",
            &done
        )
        .execute(&mut transaction)
        .await?;
        transaction.commit().await?;
        compared.patients += ids.len();
    }
}

/// Pairs that are worth a look.
#[derive(Default)]
struct Pairs {
    lower: Vec<Uuid>,
    upper: Vec<Uuid>,
    scores: Vec<f64>,
}

impl Pairs {
    async fn of(
        &mut self,
        patient: &Patient,
        transaction: &mut Transaction,
    ) -> Result<(), sqlx::Error> {
        let mut others = compared_with(patient, true, &mut *transaction).await?;
        // A pair that was found before may have nothing in common any more, or less than others.
        let found_before = sqlx::query_scalar!(
            r#"SELECT CASE WHEN lower_id = $1 THEN upper_id ELSE lower_id END AS "other!"
               FROM patients.duplicate_candidate WHERE $1 IN (lower_id, upper_id)"#,
            patient.id,
        )
        .fetch_all(&mut *transaction)
        .await?;
        others.extend(found_before);
        others.sort_unstable();
        others.dedup();
        let others = storage::find_all(&others, &mut *transaction).await?;
        for (other, score) in alike(patient, others) {
            let pair = (patient.id.min(other.id), patient.id.max(other.id));
            let is_known = self
                .lower
                .iter()
                .zip(&self.upper)
                .any(|(lower, upper)| (*lower, *upper) == pair);
            if !is_known {
                self.lower.push(pair.0);
                self.upper.push(pair.1);
                self.scores.push(score);
            }
        }
        Ok(())
    }

    /// What was found before about these patients, and is not any more, goes, unless somebody has
    /// decided about it.
    async fn keep(
        &self,
        patients: &[Uuid],
        transaction: &mut Transaction,
    ) -> Result<(), sqlx::Error> {
        sqlx::query!(
            "DELETE FROM patients.duplicate_candidate AS pair
             WHERE (lower_id = ANY($1) OR upper_id = ANY($1)) AND decided_at IS NULL
                 AND NOT EXISTS (
                     SELECT FROM unnest($2::uuid[], $3::uuid[]) AS found (lower_id, upper_id)
                     WHERE found.lower_id = pair.lower_id AND found.upper_id = pair.upper_id)",
            patients,
            &self.lower,
            &self.upper,
        )
        .execute(&mut *transaction)
        .await?;
        sqlx::query!(
            "INSERT INTO patients.duplicate_candidate AS pair (lower_id, upper_id, score)
             SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::double precision[])
             ORDER BY 1, 2
             ON CONFLICT ON CONSTRAINT duplicate_candidate_pkey DO UPDATE SET score = EXCLUDED.score",
            &self.lower,
            &self.upper,
            &self.scores,
        )
        .execute(transaction)
        .await?;
        Ok(())
    }
}
