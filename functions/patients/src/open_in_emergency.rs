//! `POST /api/patients/{id}/emergency-access`: one look at a restricted patient, for a reason that
//! is recorded and of which the administrators are notified.
//!
//! It opens the record once. Anybody who needs it again has to give a reason again.

use api::{
    EntityTag, Input, InputErrors, PathId, Problem, ProblemDocument, RequestId, State,
    layers::{Permitted, Recorded, Repeatable},
};
use audit_trail::{About, Action, Subject, Trail};
use axum::{Extension, Json, Router};
use fields::Lines;
use identity::{Caller, Permission};
use route::Route;
use serde::Deserialize;
use sqlx::PgPool;
use store::Transaction;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{patient::Patient, storage};

/// A reason is a sentence: neither a single key typed to get past the field, nor a report.
const REASON_CHARACTERS: std::ops::RangeInclusive<usize> = 10..=500;

/// The route.
pub const ROUTE: Route<Permitted, Recorded, Repeatable> =
    Route::post("/api/patients/{id}/emergency-access")
        .function("open-in-emergency")
        .requires(Permission::OpenInEmergency)
        .records(Action::EmergencyAccess)
        .about(About::PatientInPath);

/// Serves the route.
pub fn routes(database: PgPool) -> Router {
    ROUTE.served_by(open_in_emergency, database.clone(), database)
}

/// Why it cannot wait. Any other field is rejected.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "reason": "Unconscious in the emergency room, allergies unknown" }))]
pub(crate) struct Emergency {
    /// The reason, 10 to 500 characters. It is kept on record, and administrators read it.
    #[serde(default)]
    #[schema(required = true, min_length = 10, max_length = 500)]
    reason: String,
}

/// Open a restricted record in an emergency
///
/// Returns the patient, once. The access is marked in the audit trail with the reason, and every
/// administrator gets a message.
#[utoipa::path(
    post, path = ROUTE.path(), tag = "patients",
    params(("id" = uuid::Uuid, Path, description = "The patient's id")),
    request_body = Emergency,
    responses(
        (status = 200, description = "The patient", body = Patient,
         headers(("ETag" = String, description = "The version"))),
        (status = 400, description = "The reason is missing, too short or too long", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "There is no such patient, or they were deleted: the type says which", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn open_in_emergency(
    caller: Caller,
    State(database): State<PgPool>,
    trail: Trail,
    Extension(request): Extension<RequestId>,
    PathId(id): PathId,
    Input(emergency): Input<Emergency>,
) -> Result<(EntityTag, Json<Patient>), Problem> {
    let reason = emergency.parse()?;

    let mut transaction = Transaction::begin(&database).await?;
    let patient = storage::in_use(storage::find(id, &mut transaction).await?)?;
    tell_administrators(&mut transaction, caller, id, &request).await?;
    trail
        .succeeded_because(&mut transaction, Subject::Patient(id), reason.as_str())
        .await?;
    transaction.commit().await?;
    tracing::warn!(patientId = %id, by = %caller.user, "opened a record in an emergency");
    Ok((patient.entity_tag(), Json(patient)))
}

impl Emergency {
    fn parse(self) -> Result<Lines, Problem> {
        let mut errors = InputErrors::default();
        let reason = Lines::parse(&self.reason, &REASON_CHARACTERS);
        let reason = reason.map_err(|error| format!("The reason {error}"));
        errors
            .field("reason", reason)
            .ok_or_else(|| errors.into_problem())
    }
}

/// The auth service knows who the administrators are and writes to them: this is the function that
/// it publishes for that in its schema. There is neither access without the message nor a message
/// without access.
async fn tell_administrators(
    transaction: &mut Transaction,
    caller: Caller,
    patient: Uuid,
    request: &RequestId,
) -> Result<(), sqlx::Error> {
    sqlx::query("SELECT auth.tell_administrators($1, $2, $3)")
        .bind(caller.user)
        .bind(patient)
        .bind(request.as_str())
        .execute(transaction)
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(reason: &str) -> Option<String> {
        let reason = reason.to_owned();
        let reason = Emergency { reason }.parse().ok()?;
        Some(reason.as_str().to_owned())
    }

    #[test]
    fn an_emergency_reason_is_a_sentence() {
        assert_eq!(
            parse("  Überdosis,\n\nunbekannt ").as_deref(),
            Some("Überdosis,\nunbekannt")
        );
        for reason in [
            "",
            "emergency",
            "          x          ",
            "a         b",
            "an evil\0reason",
            "..............",
        ] {
            assert_eq!(parse(reason), None, "{reason:?}");
        }
        assert!(parse(&"ü".repeat(500)).is_some());
        assert!(parse(&"ü".repeat(501)).is_none());
    }
}
