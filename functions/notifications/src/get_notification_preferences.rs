//! `GET /api/patients/{id}/notification-preferences`: how a patient wants to be reached.

use api::{
    EntityTag, PathId, Problem, ProblemDocument, State,
    layers::{Permitted, Recorded, Repeatable},
};
use audit_trail::{About, Action, Subject, Trail};
use axum::{Json, Router};
use identity::{Caller, Permission};
use route::Route;
use sqlx::PgPool;
use store::Transaction;

use crate::preferences::{Preferences, Shown, must_exist_and_be_seen};

/// The route.
pub const ROUTE: Route<Permitted, Recorded, Repeatable> =
    Route::get("/api/patients/{id}/notification-preferences")
        .function("get-notification-preferences")
        .requires(Permission::ReadNotificationPreferences)
        .records(Action::ReadNotificationPreferences)
        .about(About::PatientInPath);

/// Serves the route.
pub fn routes(database: PgPool) -> Router {
    ROUTE.served_by(get_notification_preferences, database.clone(), database)
}

/// Get how a patient wants to be reached
///
/// If nobody has said anything yet, these are the defaults, with version 0: e-mail in English, and
/// no text messages.
#[utoipa::path(
    get, path = ROUTE.path(), tag = "notifications",
    params(("id" = uuid::Uuid, Path, description = "The patient's id")),
    responses(
        (status = 200, description = "The preferences", body = Shown,
         headers(("ETag" = String, description = "The version"))),
        (status = 403, description = "The role may not see preferences, or not this patient's: the record is restricted", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "There is no such patient", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn get_notification_preferences(
    caller: Caller,
    State(database): State<PgPool>,
    trail: Trail,
    PathId(patient): PathId,
) -> Result<(EntityTag, Json<Shown>), Problem> {
    let mut transaction = Transaction::begin(&database).await?;
    must_exist_and_be_seen(caller, patient, &mut transaction).await?;
    let preferences = Preferences::of(patient, &mut transaction).await?;
    trail
        .succeeded(&mut transaction, Subject::Patient(patient))
        .await?;
    transaction.commit().await?;
    let tag = EntityTag(preferences.version);
    Ok((tag, Json(Shown::new(patient, preferences))))
}
