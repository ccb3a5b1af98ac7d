//! `POST /api/patients/merges/{id}/undo`: makes two records of what was merged.

use api::{
    PathId, Problem, ProblemDocument, State,
    layers::{Once, Permitted, Recorded},
};
use audit_trail::{About, Action, ResourceType, Subject, Trail};
use axum::{Json, Router, response::Response};
use events::Change;
use http::StatusCode;
use idempotency::{IdempotencyKey, Interrupted, UnitOfWork};
use identity::{Caller, Permission};
use patient_access::{must_see, must_see_if};
use route::Route;
use serde::Serialize;
use sqlx::{PgExecutor, PgPool};
use store::Transaction;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Moved, belongings::Belongings, lock_both, on_record};
use crate::{
    author::Author,
    history::VersionKind,
    outbox::{self, Delivery},
    patient::{Patient, deleted},
    schema::SCHEMA,
    storage,
};

/// The route.
pub const ROUTE: Route<Permitted, Recorded, Once> = Route::post("/api/patients/merges/{id}/undo")
    .function("undo-merge")
    .requires(Permission::MergePatients)
    .records(Action::UndoMerge)
    .about(About::ResourceInPath(ResourceType::PatientMerge))
    .once_in(SCHEMA);

/// Serves the route.
pub fn routes(database: PgPool, delivery: Delivery) -> Router {
    ROUTE.served_by(undo_merge, (database.clone(), delivery), database)
}

/// A merge that was undone.
#[derive(Serialize, ToSchema)]
#[schema(title = "UndoneMerge", as = UndoneMerge)]
pub(crate) struct UndoneMerge {
    /// The merge.
    id: Uuid,
    /// The record that had remained, as it was before the merge.
    survivor: Patient,
    /// The record that had been merged into it, as it was before the merge.
    duplicate: Patient,
}

/// A merge as it is stored.
struct Stored {
    survivor_id: Uuid,
    duplicate_id: Uuid,
    survivor_version: i64,
    duplicate_version: i64,
    survivor_before: serde_json::Value,
    duplicate_before: serde_json::Value,
    moved: serde_json::Value,
    belongings: serde_json::Value,
    is_undone: bool,
}

impl Stored {
    fn moved(&self) -> Result<Vec<Moved>, Problem> {
        serde_json::from_value(self.moved.clone()).map_err(Problem::internal)
    }

    /// Everybody whom it is about.
    fn patients(&self, moved: &[Moved]) -> Vec<Uuid> {
        let mut patients = vec![self.survivor_id, self.duplicate_id];
        patients.extend(moved.iter().map(|of| of.id));
        patients
    }
}

/// Undo a merge
///
/// Both records are as they were before the merge, as new versions. It is refused if one of them has
/// changed since, because that change would be lost: correct the records by hand instead.
#[utoipa::path(
    post, path = ROUTE.path(), tag = "duplicates",
    params(("id" = Uuid, Path, description = "The merge's id"), IdempotencyKey),
    responses(
        (status = 200, description = "The records are two again", body = UndoneMerge),
        (status = 403, description = "The role may not merge records, or not these: one of them is restricted", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "There is no such merge", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "It is undone already, one of the records has changed since, somebody else has the e-mail address by now, or the same request is being processed", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn undo_merge(
    caller: Caller,
    State((database, delivery)): State<(PgPool, Delivery)>,
    trail: Trail,
    work: UnitOfWork,
    PathId(id): PathId,
) -> Result<Response, Interrupted> {
    let begun = work.begin().await;
    if let Err(Interrupted::Answered(answer)) = &begun
        && let Some(patient) = answer.subject()
    {
        must_see(caller, patient, &database).await?;
        if answer.is_erased() {
            return Err(deleted().into());
        }
        // Their data is looked at once more.
        if let Some(merge) = find(&database, id).await? {
            let patients = merge.patients(&merge.moved()?);
            let subject = Subject::ResourceOfPatients(on_record(id), &patients);
            trail.succeeded(&database, subject).await?;
        }
    }
    let mut transaction = begun?;
    let found = find(&mut *transaction, id).await?.ok_or_else(not_found)?;
    let (survivor, duplicate) =
        lock_both(&mut transaction, found.survivor_id, found.duplicate_id).await?;
    let (Some(survivor), Some(duplicate)) = (survivor, duplicate) else {
        return Err(not_found().into());
    };
    must_see_if(caller, survivor.restricted || duplicate.restricted)?;
    // Once more, because somebody else may have undone it while the records were waited for.
    let merge = find(&mut *transaction, id).await?.ok_or_else(not_found)?;
    if merge.is_undone {
        return Err(Problem::conflict("id", "The merge is undone already").into());
    }
    let is_as_merged = survivor.version == merge.survivor_version
        && duplicate.version == merge.duplicate_version
        && duplicate.merged_into == Some(survivor.id)
        && survivor.deleted_at.is_none();
    if !is_as_merged {
        return Err(changed_since().into());
    }
    let moved = merge.moved()?;
    let (survivor, duplicate) =
        restore(&merge, &moved, &survivor, caller, &mut transaction).await?;
    let undone = sqlx::query!(
        "UPDATE patients.merge SET undone_by = $2, undone_at = now()
         WHERE id = $1 AND undone_at IS NULL",
        id,
        caller.user,
    )
    .execute(&mut *transaction)
    .await?;
    if undone.rows_affected() == 0 {
        return Err(Problem::conflict("id", "The merge is undone already").into());
    }
    let patients = merge.patients(&moved);
    let subject = Subject::ResourceOfPatients(on_record(id), &patients);
    trail.succeeded(&mut *transaction, subject).await?;
    let survivor_id = survivor.id;
    let duplicate_id = duplicate.id;
    let answer = UndoneMerge {
        id,
        survivor,
        duplicate,
    };
    let answer = transaction
        .commit(survivor_id, (StatusCode::OK, Json(answer)))
        .await?;

    delivery.deliver_now(&database, duplicate_id).await;
    delivery.deliver_now(&database, survivor_id).await;
    Ok(answer)
}

fn not_found() -> Problem {
    Problem::not_found("Merge not found")
}

fn changed_since() -> Problem {
    Problem::conflict("id", "One of the records has changed since the merge")
}

async fn find(database: impl PgExecutor<'_>, id: Uuid) -> Result<Option<Stored>, sqlx::Error> {
    sqlx::query_as!(
        Stored,
        r#"SELECT survivor_id, duplicate_id, survivor_version, duplicate_version, survivor_before,
                  duplicate_before, moved, belongings, undone_at IS NOT NULL AS "is_undone!"
           FROM patients.merge WHERE id = $1"#,
        id,
    )
    .fetch_optional(database)
    .await
}

/// Writes both records as they were before. The survivor is `merged` until then.
async fn restore(
    merge: &Stored,
    moved: &[Moved],
    merged: &Patient,
    caller: Caller,
    transaction: &mut Transaction,
) -> Result<(Patient, Patient), Problem> {
    let author = Author::from(caller);
    let read = |snapshot: &serde_json::Value| {
        serde_json::from_value::<Patient>(snapshot.clone()).map_err(Problem::internal)
    };
    let kind = VersionKind::Unmerge;
    let mut again = Vec::new();
    // First the survivor, which has to give back the numbers and the mailbox of the duplicate.
    let survivor = read(&merge.survivor_before)?;
    let was = survivor.version;
    let survivor = storage::save(survivor, kind, None, author, transaction).await?;
    again.push((survivor.id, was, survivor.version));
    let duplicate = read(&merge.duplicate_before)?;
    let was = duplicate.version;
    let duplicate = storage::save(duplicate, kind, None, author, transaction).await?;
    again.push((duplicate.id, was, duplicate.version));
    for of in moved {
        let patient = storage::lock(of.id, transaction).await?;
        // Only those who are still where the merge has put them.
        let patient = patient.filter(|patient| patient.merged_into == Some(survivor.id));
        let Some(mut patient) = patient.filter(|patient| patient.version == of.version) else {
            return Err(changed_since());
        };
        patient.merged_into = Some(duplicate.id);
        patient.restricted = of.restricted;
        let patient = storage::save(patient, kind, None, author, transaction).await?;
        again.push((of.id, of.before, patient.version));
        let change = Change::Merged {
            survivor: duplicate.id,
        };
        outbox::announce(transaction, &patient, change).await?;
    }
    for (patient, was, is) in again {
        renumber(patient, was, is, transaction).await?;
    }
    let belongings: Belongings =
        serde_json::from_value(merge.belongings.clone()).map_err(Problem::internal)?;
    belongings
        .give_back(transaction, survivor.id, duplicate.id)
        .await?;
    outbox::update_billing_account(transaction, merged, &survivor).await?;
    outbox::announce(
        transaction,
        &duplicate,
        Change::Unmerged((&duplicate).into()),
    )
    .await?;
    outbox::announce(transaction, &survivor, Change::Updated((&survivor).into())).await?;
    Ok((survivor, duplicate))
}

/// A record that is what it was before this merge has not changed for the merges before: they can be
/// undone, too, the last one first.
async fn renumber(
    patient: Uuid,
    was: i64,
    is: i64,
    transaction: &mut Transaction,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE patients.merge
         SET survivor_version = CASE WHEN survivor_id = $1 AND survivor_version = $2 THEN $3
                                     ELSE survivor_version END,
             duplicate_version = CASE WHEN duplicate_id = $1 AND duplicate_version = $2 THEN $3
                                      ELSE duplicate_version END,
             moved = (SELECT coalesce(jsonb_agg(
                          CASE WHEN of ->> 'id' = $1::uuid::text AND of -> 'version' = to_jsonb($2::bigint)
                               THEN jsonb_set(of, '{version}', to_jsonb($3::bigint)) ELSE of END), '[]')
                      FROM jsonb_array_elements(moved) AS of)
         WHERE undone_at IS NULL
             AND ($1 IN (survivor_id, duplicate_id)
                  OR moved @> jsonb_build_array(jsonb_build_object('id', $1::uuid)))",
        patient,
        was,
        is,
    )
    .execute(transaction)
    .await?;
    Ok(())
}
