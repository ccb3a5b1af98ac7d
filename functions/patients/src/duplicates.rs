//! Patients who may be one: found by what they have in common, weighed by what agrees and what does
//! not, and decided about by people.
//!
//! Nobody is ever merged automatically. [`keys`] says who is compared with whom, [`evidence`] how
//! likely it is that two are one. The terms of the search hold the keys, so that they change with the
//! patient.

pub mod check_duplicates;
pub mod decide_duplicate;
pub mod evidence;
pub mod find_duplicates;
pub mod keys;
pub mod list_duplicate_candidates;

use serde::Serialize;
use sqlx::PgExecutor;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::patient::Patient;

/// How many patients one patient is compared with at most.
const MOST_COMPARED: i64 = 500;

/// How sure it is that two patients are one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[schema(as = MatchGrade)]
pub enum Grade {
    /// Worth a look: a score of at least 0.5.
    Possible,
    /// More likely than not, and by far: a score of at least 0.95.
    Probable,
    /// As good as sure: a score of at least 0.999.
    Certain,
}

impl Grade {
    /// The grade of this score; none if it is not worth a look.
    #[must_use]
    pub fn of(score: f64) -> Option<Self> {
        match score {
            score if score >= 0.999 => Some(Self::Certain),
            score if score >= 0.95 => Some(Self::Probable),
            score if score >= 0.5 => Some(Self::Possible),
            _ => None,
        }
    }
}

/// Whom a patient is compared with: those who share most with them; the rarer what is shared, the more
/// it counts. Something that very many have, such as the address of a home, leads to no more
/// than [`MOST_COMPARED`] of them.
///
/// # Errors
/// If the database fails.
async fn compared_with(
    patient: &Patient,
    restricted_too: bool,
    database: impl PgExecutor<'_>,
) -> Result<Vec<Uuid>, sqlx::Error> {
    let keys: Vec<String> = keys::of(patient).into_iter().collect();
    sqlx::query_scalar!(
        r#"SELECT patient_id AS "patient_id!"
           FROM (SELECT held.patient_id, count(*) OVER (PARTITION BY key.term) AS holders
                 FROM unnest($1::text[]) AS key (term)
                 CROSS JOIN LATERAL (
                     SELECT patient_id FROM patients.search_term
                     WHERE term = key.term AND patient_id <> $2 AND NOT gone
                         AND (NOT restricted OR $3)
                     LIMIT $4) AS held) AS shared
           GROUP BY patient_id
           ORDER BY sum(1.0 / holders) DESC, patient_id
           LIMIT $4"#,
        &keys,
        patient.id,
        restricted_too,
        MOST_COMPARED,
    )
    .fetch_all(database)
    .await
}

/// Those of the others who may be this patient, the likeliest first.
fn alike(patient: &Patient, others: Vec<Patient>) -> Vec<(Patient, f64)> {
    let mut alike: Vec<(Patient, f64)> = others
        .into_iter()
        .filter(|other| other.deleted_at.is_none() && other.merged_into.is_none())
        .filter_map(|other| {
            let score = evidence::score(patient, &other);
            Grade::of(score)?;
            Some((other, score))
        })
        .collect();
    alike.sort_by(|(one, score), (other, second)| {
        second.total_cmp(score).then(one.id.cmp(&other.id))
    });
    alike
}
