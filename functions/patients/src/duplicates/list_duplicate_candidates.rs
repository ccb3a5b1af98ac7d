//! `GET /api/patients/duplicate-candidates`: pairs of patients who may be one, the likeliest first.

use std::collections::HashMap;

use api::{
    Cursor, Id, Limit, Problem, ProblemDocument, QueryInput, State,
    layers::{Permitted, Recorded, Repeatable},
};
use audit_trail::{Action, Subject, Trail};
use axum::{Json, Router};
use chrono::{DateTime, Utc};
use identity::{Caller, Permission};
use route::Route;
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::Grade;
use crate::{patient::Patient, patients_by_id};

/// How many pairs a page has at most: as many patients as a page of any other list.
const MOST: u16 = 50;

/// How many patients a record of the audit trail names at most.
const ON_RECORD: usize = 100;

/// The route.
pub const ROUTE: Route<Permitted, Recorded, Repeatable> =
    Route::get("/api/patients/duplicate-candidates")
        .function("list-duplicate-candidates")
        .requires(Permission::UpdatePatient)
        .records(Action::FindDuplicates);

/// Serves the route.
pub fn routes(database: PgPool) -> Router {
    ROUTE.served_by(list_duplicate_candidates, database.clone(), database)
}

/// Which page.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Page {
    /// `nextCursor` of the previous page; omit it for the first page.
    #[param(value_type = Option<String>)]
    cursor: Option<Cursor<(f64, Id, Id)>>,
    /// The number of pairs per page, 1 to 50.
    #[serde(default)]
    #[param(value_type = Option<u16>, minimum = 1, maximum = 50, default = 20)]
    limit: Limit<MOST>,
}

/// A page of pairs.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CandidatePairs {
    candidates: Vec<CandidatePair>,
    /// Send it as `cursor` to get the next page; null on the last one.
    #[schema(required)]
    next_cursor: Option<String>,
}

/// Two patients who may be one.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(title = "DuplicateCandidatePair", as = DuplicateCandidatePair)]
pub(crate) struct CandidatePair {
    /// The two, the one who was registered first before the other.
    patients: [Patient; 2],
    /// How likely it is that they are one, 0 to 1.
    #[schema(minimum = 0, maximum = 1)]
    score: f64,
    /// The score in a word.
    grade: Grade,
    /// When the pair was found.
    found_at: DateTime<Utc>,
}

/// List duplicate candidates
///
/// Whoever is registered, imported or changed is compared with the others within minutes. A pair
/// leaves the list when somebody says that they are two patients, when they are merged, or when they
/// are changed so that they are not alike any more. Pairs with a restricted patient are listed only
/// for callers who may see them.
#[utoipa::path(
    get, path = ROUTE.path(), tag = "duplicates",
    params(Page),
    responses(
        (status = 200, description = "A page of pairs", body = CandidatePairs),
        (status = 400, description = "The cursor or the limit is invalid", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn list_duplicate_candidates(
    caller: Caller,
    State(database): State<PgPool>,
    trail: Trail,
    QueryInput(page): QueryInput<Page>,
) -> Result<Json<CandidatePairs>, Problem> {
    let start = (f64::INFINITY, Id(Uuid::nil()), Id(Uuid::nil()));
    let (score, Id(lower), Id(upper)) = page.cursor.map_or(start, |Cursor(place)| place);
    let mut pairs = sqlx::query!(
        r#"SELECT pair.lower_id, pair.upper_id, pair.score AS "score!", pair.found_at
           FROM patients.duplicate_candidate AS pair
           JOIN patients.patient AS lower ON lower.id = pair.lower_id
           JOIN patients.patient AS upper ON upper.id = pair.upper_id
           WHERE pair.decided_at IS NULL AND pair.score IS NOT NULL
               AND pair.score <= $1
               AND (pair.score < $1 OR (pair.lower_id, pair.upper_id) > ($2, $3))
               AND lower.deleted_at IS NULL AND lower.merged_into IS NULL
               AND upper.deleted_at IS NULL AND upper.merged_into IS NULL
               AND (NOT (lower.restricted OR upper.restricted) OR $4)
           ORDER BY pair.score DESC, pair.lower_id, pair.upper_id
           LIMIT $5"#,
        score,
        lower,
        upper,
        caller.role.may(Permission::SeeRestrictedPatients),
        page.limit.and_one_more(),
    )
    .fetch_all(&database)
    .await?;
    let next_cursor = page.limit.cut(&mut pairs, |last| {
        (last.score, Id(last.lower_id), Id(last.upper_id))
    });
    let mut seen: Vec<Uuid> = pairs
        .iter()
        .flat_map(|pair| [pair.lower_id, pair.upper_id])
        .collect();
    seen.sort_unstable();
    seen.dedup();
    let patients: HashMap<Uuid, Patient> =
        patients_by_id::visible(&database, caller, &seen).await?;
    let candidates = pairs.into_iter().filter_map(|pair| {
        let patients = [pair.lower_id, pair.upper_id].map(|id| patients.get(&id).cloned());
        let [Some(one), Some(other)] = patients else {
            return None;
        };
        Some(CandidatePair {
            patients: [one, other],
            score: pair.score,
            grade: Grade::of(pair.score)?,
            found_at: pair.found_at,
        })
    });
    let candidates = candidates.collect();
    if seen.is_empty() {
        trail.succeeded(&database, Subject::Nobody).await?;
    }
    for patients in seen.chunks(ON_RECORD) {
        trail
            .succeeded(&database, Subject::Patients(patients))
            .await?;
    }
    Ok(Json(CandidatePairs {
        candidates,
        next_cursor,
    }))
}
