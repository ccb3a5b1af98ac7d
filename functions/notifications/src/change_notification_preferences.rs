//! `PUT /api/patients/{id}/notification-preferences`: changes how a patient wants to be reached.

use api::{
    EntityTag, IfMatch, Input, PathId, Problem, ProblemDocument, State,
    layers::{Permitted, Recorded, Repeatable},
};
use audit_trail::{About, Action, Subject, Trail};
use axum::{Json, Router};
use identity::{Caller, Permission};
use route::Route;
use sqlx::PgPool;
use store::Transaction;
use uuid::Uuid;

use crate::preferences::{self, Preferences, Shown, locked_version, must_exist_and_be_seen};

/// The route.
pub const ROUTE: Route<Permitted, Recorded, Repeatable> =
    Route::put("/api/patients/{id}/notification-preferences")
        .function("change-notification-preferences")
        .requires(Permission::ChangeNotificationPreferences)
        .records(Action::ChangeNotificationPreferences)
        .about(About::PatientInPath);

/// Serves the route.
pub fn routes(database: PgPool) -> Router {
    ROUTE.served_by(change_notification_preferences, database.clone(), database)
}

/// Change how a patient wants to be reached
///
/// Replaces the preferences. A patient is always told that the clinic has moved or cancelled an
/// appointment, on every channel that they use, and by e-mail if they use none.
#[utoipa::path(
    put, path = ROUTE.path(), tag = "notifications",
    params(
        ("id" = Uuid, Path, description = "The patient's id"),
        IfMatch,
    ),
    request_body = preferences::Input,
    responses(
        (status = 200, description = "The preferences as they are now", body = Shown,
         headers(("ETag" = String, description = "The new version"))),
        (status = 400, description = "A field is invalid", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "The role may not change preferences, or not this patient's: the record is restricted", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "There is no such patient", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn change_notification_preferences(
    caller: Caller,
    State(database): State<PgPool>,
    trail: Trail,
    PathId(patient): PathId,
    if_match: IfMatch,
    Input(input): Input<preferences::Input>,
) -> Result<(EntityTag, Json<Shown>), Problem> {
    let keeps_opt_outs = !input.names_kinds();
    let mut wanted = input.parse()?;

    let mut transaction = Transaction::begin(&database).await?;
    must_exist_and_be_seen(caller, patient, &mut transaction).await?;
    let version = locked_version(patient, &mut transaction).await?;
    if_match.check(version)?;
    if keeps_opt_outs {
        // The patient may have opted out themselves: whoever only changes a number must not undo it.
        wanted.opt_outs = Preferences::of(patient, &mut transaction).await?.opt_outs;
    }
    let preferences = Preferences {
        version: version + 1,
        ..wanted
    };
    store(patient, &preferences, &mut transaction).await?;
    trail
        .succeeded(&mut transaction, Subject::Patient(patient))
        .await?;
    transaction.commit().await?;
    let tag = EntityTag(preferences.version);
    Ok((tag, Json(Shown::new(patient, preferences))))
}

async fn store(
    patient: Uuid,
    preferences: &Preferences,
    transaction: &mut Transaction,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO notifications.preference
             (patient_id, version, language, phone, email, sms, quiet_from, quiet_to)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
         ON CONFLICT ON CONSTRAINT preference_pkey DO UPDATE
         SET version = excluded.version, language = excluded.language, phone = excluded.phone,
             email = excluded.email, sms = excluded.sms, quiet_from = excluded.quiet_from,
             quiet_to = excluded.quiet_to, updated_at = now()",
        patient,
        preferences.version,
        preferences.language.code(),
        preferences.phone,
        preferences.email,
        preferences.sms,
        preferences.quiet_hours.map(|hours| hours.from()),
        preferences.quiet_hours.map(|hours| hours.to()),
    )
    .execute(&mut *transaction)
    .await?;
    sqlx::query!(
        "DELETE FROM notifications.opt_out WHERE patient_id = $1",
        patient
    )
    .execute(&mut *transaction)
    .await?;
    let (kinds, channels): (Vec<_>, Vec<_>) = preferences
        .opt_outs
        .iter()
        .map(|(occasion, channel)| (occasion.name().to_owned(), channel.name().to_owned()))
        .unzip();
    sqlx::query!(
        "INSERT INTO notifications.opt_out (patient_id, kind, channel)
         SELECT $1, kind, channel FROM unnest($2::text[], $3::text[]) AS opt_out (kind, channel)",
        patient,
        &kinds,
        &channels,
    )
    .execute(&mut *transaction)
    .await?;
    Ok(())
}
