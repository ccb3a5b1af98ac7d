//! `POST /api/patients/merges`: makes two records of one patient one.

use api::{
    Id, Input, Problem, ProblemDocument, State,
    layers::{Once, Permitted, Recorded},
};
use audit_trail::{Action, Subject, Trail};
use axum::{Json, Router, response::Response};
use events::Change;
use http::{StatusCode, header};
use idempotency::{IdempotencyKey, Interrupted, UnitOfWork};
use identity::{Caller, Permission};
use patient_access::must_see_if;
use route::Route;
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use store::Transaction;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    Moved,
    belongings::Belongings,
    chosen::{Choices, merged},
    lock_both, on_record,
};
use crate::{
    author::Author,
    history::VersionKind,
    outbox::{self, Delivery},
    patient::Patient,
    schema::SCHEMA,
    storage,
    stored_answer::begin,
};

/// The route.
pub const ROUTE: Route<Permitted, Recorded, Once> = Route::post("/api/patients/merges")
    .function("merge-patients")
    .requires(Permission::MergePatients)
    .records(Action::MergePatients)
    .once_in(SCHEMA);

/// Serves the route.
pub fn routes(database: PgPool, delivery: Delivery) -> Router {
    ROUTE.served_by(merge_patients, (database.clone(), delivery), database)
}

/// Two records of one patient. Any other field is rejected.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({
    "survivorId": "0199f7a2-6c1e-7c35-9b6c-0d2a54f3c1aa",
    "duplicateId": "0199f7a2-6c1e-7c35-9b6c-0d2a54f3c1ab",
    "survivorVersion": 3,
    "duplicateVersion": 1,
    "fields": { "name": "DUPLICATE", "phones": "BOTH" },
    "dryRun": false
}))]
pub(crate) struct MergeInput {
    /// The record that remains.
    #[schema(value_type = Uuid)]
    survivor_id: Id,
    /// The record that is merged into it.
    #[schema(value_type = Uuid)]
    duplicate_id: Id,
    /// The version of the survivor that was read, as in its `ETag`: if it has changed since, nothing
    /// is merged.
    survivor_version: Option<i64>,
    /// The version of the duplicate that was read.
    duplicate_version: Option<i64>,
    /// Which record fields are taken from.
    #[serde(default)]
    fields: Choices,
    /// Whether to answer what the survivor would be, and change nothing.
    #[serde(default)]
    dry_run: bool,
}

/// A merge.
#[derive(Serialize, ToSchema)]
#[schema(title = "Merge", as = Merge)]
pub(crate) struct Merge {
    /// Identifies the merge, to undo it; null for a dry run.
    #[schema(required)]
    pub(super) id: Option<Uuid>,
    /// The record that remains.
    pub(super) survivor: Patient,
}

/// Merge two records
///
/// The survivor gets what the duplicate has and it has not, or what `fields` says. The duplicate is
/// kept for its id: it says whom it was merged into, can be read but not changed, and its record
/// number, its former names and its numbers find the survivor. Appointments, messages and
/// everything else are found by either id. Relationships, family and groups become the survivor's. If
/// one of the two is restricted, the survivor is. A merge can be undone until one of the records is
/// changed.
#[utoipa::path(
    post, path = ROUTE.path(), tag = "duplicates",
    params(IdempotencyKey),
    request_body = MergeInput,
    responses(
        (status = 200, description = "What the survivor would be: a dry run", body = Merge),
        (status = 201, description = "The records are merged", body = Merge,
         headers(("Location" = String, description = "Where the merge can be undone"))),
        (status = 400, description = "A field is invalid, or the two are one record", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "The role may not merge records, or not these: one of them is restricted", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "One of the records does not exist, or was deleted: the type says which", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "One of the records was merged into another one before, or the same request is being processed", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 412, description = "One of the records has another version", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn merge_patients(
    caller: Caller,
    State((database, delivery)): State<(PgPool, Delivery)>,
    trail: Trail,
    work: UnitOfWork,
    Input(input): Input<MergeInput>,
) -> Result<Response, Interrupted> {
    let (Id(survivor_id), Id(duplicate_id)) = (input.survivor_id, input.duplicate_id);
    if survivor_id == duplicate_id {
        let detail = "The duplicate must be a different record from the survivor";
        return Err(Problem::invalid_field("duplicateId", detail).into());
    }
    trail.about(Subject::Patient(survivor_id));

    let mut transaction = begin(work, caller, &trail, Some(survivor_id)).await?;
    let (survivor, duplicate) = lock_both(&mut transaction, survivor_id, duplicate_id).await?;
    for patient in [&survivor, &duplicate].into_iter().flatten() {
        must_see_if(caller, patient.restricted)?;
    }
    let survivor = storage::changeable(survivor)?;
    let duplicate = storage::changeable(duplicate)?;
    for (patient, read) in [
        (&survivor, input.survivor_version),
        (&duplicate, input.duplicate_version),
    ] {
        if read.is_some_and(|version| version != patient.version) {
            return Err(Problem::precondition_failed().into());
        }
    }
    let after = merged(&survivor, &duplicate, &input.fields)?;
    let both = [survivor_id, duplicate_id];
    if input.dry_run {
        let subject = Subject::Patients(&both);
        trail.succeeded(&mut *transaction, subject).await?;
        let answer = Merge {
            id: None,
            survivor: after,
        };
        let answer = transaction
            .commit(survivor_id, (StatusCode::OK, Json(answer)))
            .await?;
        return Ok(answer);
    }
    let id = Uuid::now_v7();
    let survivor = write(id, caller, (survivor, duplicate), after, &mut transaction).await?;
    let subject = Subject::ResourceOfPatients(on_record(id), &both);
    trail.succeeded(&mut *transaction, subject).await?;
    let at = [(header::LOCATION, format!("merges/{id}"))];
    let answer = Merge {
        id: Some(id),
        survivor,
    };
    let answer = (StatusCode::CREATED, at, Json(answer));
    let answer = transaction.commit(survivor_id, answer).await?;

    delivery.deliver_now(&database, duplicate_id).await;
    delivery.deliver_now(&database, survivor_id).await;
    Ok(answer)
}

/// Writes both records, and what is needed to undo it.
async fn write(
    id: Uuid,
    caller: Caller,
    (before, duplicate): (Patient, Patient),
    after: Patient,
    transaction: &mut Transaction,
) -> Result<Patient, Problem> {
    let author = Author::from(caller);
    let snapshot = |patient: &Patient| serde_json::to_value(patient).map_err(Problem::internal);
    let (survivor_before, duplicate_before) = (snapshot(&before)?, snapshot(&duplicate)?);
    let moved = flatten(&duplicate, &before, author, transaction).await?;
    // First the duplicate, which has to give its numbers and its mailbox away.
    let mut duplicate = duplicate;
    duplicate.identifiers.clear();
    duplicate.active = false;
    duplicate.merged_into = Some(before.id);
    // The duplicate shows no more to anybody than the survivor does.
    duplicate.restricted = after.restricted;
    let duplicate = storage::save(duplicate, VersionKind::Merge, None, author, transaction).await?;
    let survivor = storage::save(after, VersionKind::Merge, None, author, transaction).await?;
    let belongings = Belongings::hand_over(transaction, survivor.id, duplicate.id).await?;
    sqlx::query!(
        "INSERT INTO patients.merge
             (id, survivor_id, duplicate_id, survivor_version, duplicate_version, survivor_before,
              duplicate_before, moved, belongings, merged_by)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        id,
        survivor.id,
        duplicate.id,
        survivor.version,
        duplicate.version,
        survivor_before,
        duplicate_before,
        serde_json::to_value(&moved).map_err(Problem::internal)?,
        serde_json::to_value(&belongings).map_err(Problem::internal)?,
        caller.user,
    )
    .execute(&mut *transaction)
    .await?;
    let change = Change::Merged {
        survivor: survivor.id,
    };
    outbox::update_billing_account(transaction, &before, &survivor).await?;
    outbox::announce(transaction, &duplicate, change).await?;
    outbox::announce(transaction, &survivor, Change::Updated((&survivor).into())).await?;
    Ok(survivor)
}

/// Makes those who had been merged into the duplicate the survivor's. The duplicate is locked, so
/// that nobody is merged into it meanwhile.
async fn flatten(
    duplicate: &Patient,
    survivor: &Patient,
    author: Author,
    transaction: &mut Transaction,
) -> Result<Vec<Moved>, Problem> {
    let ids = sqlx::query_scalar!(
        "SELECT id FROM patients.patient WHERE merged_into = $1 ORDER BY id FOR NO KEY UPDATE",
        duplicate.id,
    )
    .fetch_all(&mut *transaction)
    .await?;
    let mut moved = Vec::with_capacity(ids.len());
    for mut patient in storage::find_all(&ids, &mut *transaction).await? {
        let (before, restricted) = (patient.version, patient.restricted);
        patient.merged_into = Some(survivor.id);
        patient.restricted |= survivor.restricted;
        let patient = storage::save(patient, VersionKind::Merge, None, author, transaction).await?;
        let change = Change::Merged {
            survivor: survivor.id,
        };
        outbox::announce(transaction, &patient, change).await?;
        moved.push(Moved {
            id: patient.id,
            before,
            version: patient.version,
            restricted,
        });
    }
    Ok(moved)
}
