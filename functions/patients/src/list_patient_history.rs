//! `GET /api/patients/{id}/history`: every version of a patient, oldest first, with what changed.

use std::collections::BTreeSet;

use api::{
    Cursor, Limit, PathIdAndQuery, Problem, ProblemDocument, State,
    layers::{Permitted, Recorded, Repeatable},
};
use audit_trail::{About, Action, Subject, Trail};
use axum::{Json, Router};
use chrono::{DateTime, Utc};
use identity::{Caller, Permission};
use route::Route;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::PgPool;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::history::{self, VersionKind};

/// The route.
pub const ROUTE: Route<Permitted, Recorded, Repeatable> = Route::get("/api/patients/{id}/history")
    .function("list-patient-history")
    .requires(Permission::ReadPatient)
    .records(Action::ReadPatientHistory)
    .about(About::PatientInPath);

/// Serves the route.
pub fn routes(database: PgPool) -> Router {
    ROUTE.served_by(list_patient_history, database.clone(), database)
}

/// Which page.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Page {
    /// `nextCursor` of the previous page; omit it for the first page.
    #[param(value_type = Option<String>)]
    cursor: Option<Cursor<i64>>,
    /// The number of versions per page, 1 to 100.
    #[serde(default)]
    #[param(value_type = Option<u16>, minimum = 1, maximum = 100, default = 20)]
    limit: Limit,
}

/// A page of a patient's history.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PatientHistory {
    /// The versions, oldest first.
    versions: Vec<Entry>,
    /// Send it as `cursor` to get the next page; null on the last one.
    #[schema(required)]
    next_cursor: Option<String>,
}

/// A version of a patient, without the patient
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(title = "PatientVersion", as = PatientVersion, example = json!({
    "version": 2,
    "kind": "UPDATE",
    "at": "2024-02-01T10:02:11.123456Z",
    "actorId": "0199f7a2-6c1e-7c35-9b6c-0d2a54f3c1af",
    "changes": [{ "field": "name", "from": "Milo Hansen", "to": "Milo Feil" }]
}))]
pub(crate) struct Entry {
    /// The version.
    version: i64,
    /// What made it.
    kind: VersionKind,
    /// When.
    at: DateTime<Utc>,
    /// Who; null if it was there before histories were kept, or no user made it.
    #[schema(required)]
    actor_id: Option<Uuid>,
    /// What is different from the version before, by field. Of the first version, every field that
    /// is not empty.
    changes: Vec<FieldChange>,
}

/// A field that changed
#[derive(Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = PatientFieldChange, example = json!({
    "field": "name", "from": "Milo Hansen", "to": "Milo Feil"
}))]
pub(crate) struct FieldChange {
    /// The field of the patient.
    field: String,
    /// What it was.
    #[schema(required, value_type = Option<Value>)]
    from: Value,
    /// What it is since.
    #[schema(required, value_type = Option<Value>)]
    to: Value,
}

/// List the history of a patient
///
/// Every change is a version: what was done, when, by whom, and which fields are different since.
/// The history of a deleted patient ends with their deletion, and is only for those who may see
/// deleted patients. For versions from a time when the record, or one that
/// was merged into it, was restricted, callers who may not see restricted records get no fields. Looking at it is recorded in the audit trail.
#[utoipa::path(
    get, path = ROUTE.path(), tag = "patients",
    params(("id" = Uuid, Path, description = "The patient's id"), Page),
    responses(
        (status = 200, description = "A page of versions, oldest first", body = PatientHistory),
        (status = 400, description = "The cursor or the limit is invalid", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "The role may not see patients, or not this one: the record is restricted", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "There is no such patient, or they were deleted: the type says which", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn list_patient_history(
    caller: Caller,
    State(database): State<PgPool>,
    trail: Trail,
    PathIdAndQuery(id, page): PathIdAndQuery<Page>,
) -> Result<Json<PatientHistory>, Problem> {
    history::must_be_seen(caller, id, &database).await?;
    let after = page.cursor.map_or(0, |Cursor(version)| version);
    // The version before the first one of the page is read with it, for what is different.
    let rows = sqlx::query!(
        r#"SELECT version AS "version!", kind AS "kind!", at AS "at!", actor_id,
                  snapshot::text AS "snapshot!", before::text
           FROM (SELECT version, kind, at, actor_id, snapshot,
                        lag(snapshot) OVER (ORDER BY version) AS before
                 FROM patients.patient_version
                 WHERE patient_id = $1 AND version >= $2
                 ORDER BY version
                 LIMIT $3::bigint + 1) AS versions
           WHERE version > $2
           ORDER BY version
           LIMIT $3"#,
        id,
        after,
        page.limit.and_one_more(),
    )
    .fetch_all(&database)
    .await?;
    let sees_all = caller.role.may(Permission::SeeRestrictedPatients);
    let mut versions = Vec::with_capacity(rows.len());
    for row in rows {
        let read = |text: &str| serde_json::from_str(text).map_err(Problem::internal);
        let before: Option<Value> = row.before.as_deref().map(read).transpose()?;
        let snapshot: Value = read(&row.snapshot)?;
        let is_closed = |of: &Value| !sees_all && of["restricted"] == true;
        let is_hidden = is_closed(&snapshot) || before.as_ref().is_some_and(is_closed);
        versions.push(Entry {
            version: row.version,
            kind: row
                .kind
                .parse()
                .map_err(|_| Problem::internal("an unknown kind of version"))?,
            at: row.at,
            actor_id: row.actor_id,
            changes: if is_hidden {
                Vec::new()
            } else {
                changes(&before.unwrap_or(Value::Null), &snapshot)
            },
        });
    }
    let next_cursor = page.limit.cut(&mut versions, |last| last.version);

    trail.succeeded(&database, Subject::Patient(id)).await?;
    Ok(Json(PatientHistory {
        versions,
        next_cursor,
    }))
}

/// Fields that say nothing about the patient: they differ in every version, or only in how they are
/// written.
const OF_THE_VERSION: [&str; 3] = ["version", "createdAt", "updatedAt"];

/// The fields that differ, by name. A field that one of them does not have is null there.
fn changes(from: &Value, to: &Value) -> Vec<FieldChange> {
    let fields = |of: &Value| {
        of.as_object()
            .into_iter()
            .flat_map(|object| object.keys().cloned())
            .collect::<Vec<_>>()
    };
    let all: BTreeSet<String> = fields(from).into_iter().chain(fields(to)).collect();
    let is_empty = |value: &Value| value.is_null() || value.as_array().is_some_and(Vec::is_empty);
    let mut changes = Vec::new();
    for field in all {
        let (was, is) = (&from[&*field], &to[&*field]);
        let same = was == is || (is_empty(was) && is_empty(is));
        if !same && !OF_THE_VERSION.contains(&&*field) {
            changes.push(FieldChange {
                from: was.clone(),
                to: is.clone(),
                field,
            });
        }
    }
    changes
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_differs_is_a_change() {
        let from = json!({ "version": 1, "name": "A", "phones": [], "gone": 1 });
        let to = json!({ "version": 2, "name": "B", "sex": null });
        let changed = changes(&from, &to);
        let fields: Vec<_> = changed.iter().map(|change| &*change.field).collect();
        assert_eq!(fields, ["gone", "name"]);
        assert_eq!(
            (&changed[1].from, &changed[1].to),
            (&json!("A"), &json!("B"))
        );
        assert_eq!(changes(&Value::Null, &to).len(), 1);
    }
}
