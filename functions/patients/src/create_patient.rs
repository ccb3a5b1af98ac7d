//! `POST /api/patients`: registers a patient and has a billing account opened for them.

use std::slice;

use api::{
    ClinicTimeZone, InputAndQuery, ProblemDocument, State,
    layers::{Once, Permitted, Recorded},
};
use audit_trail::{Action, Subject, Trail};
use axum::{Json, Router, response::Response};
use chrono::Utc;
use events::Change;
use http::{StatusCode, header};
use idempotency::{IdempotencyKey, Interrupted, UnitOfWork};
use identity::{Caller, Permission};
use route::Route;
use serde::Deserialize;
use sqlx::PgPool;
use utoipa::IntoParams;

use crate::{
    email_rule::EmailRule,
    outbox::{self, Delivery},
    patient::Patient,
    patient_input::PatientInput,
    schema::SCHEMA,
    storage,
    stored_answer::begin,
};

/// The route.
pub const ROUTE: Route<Permitted, Recorded, Once> = Route::post("/api/patients")
    .function("create-patient")
    .requires(Permission::CreatePatient)
    .records(Action::CreatePatient)
    .once_in(SCHEMA);

/// Serves the route.
pub fn routes(database: PgPool, delivery: Delivery, rule: EmailRule) -> Router {
    ROUTE.served_by(create_patient, (database.clone(), delivery, rule), database)
}

/// What the registration leads to.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Consequences {
    /// Whether the patient gets a welcome message. Only administrators may set `false`, for
    /// patients who are already known to the clinic, such as those imported from another system.
    #[serde(default)]
    #[param(value_type = Option<bool>, default = true)]
    welcome: Welcome,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
enum Welcome {
    #[default]
    #[serde(rename = "true")]
    Sent,
    #[serde(rename = "false")]
    NotSent,
}

/// Register a patient
///
/// The response is sent as soon as the patient is stored. From then on, their billing account, the
/// event and everything that follows from it are certain. The five flat fields are enough; the
/// others say more.
#[utoipa::path(
    post, path = ROUTE.path(), tag = "patients",
    params(Consequences, IdempotencyKey),
    request_body = PatientInput,
    responses(
        (status = 201, description = "The patient is registered", body = Patient,
         headers(("ETag" = String, description = "The version, for If-Match"),
                 ("Location" = String, description = "Where the patient is"))),
        (status = 400, description = "A field is invalid", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "The role may not register patients, or not without a welcome; or the same request has registered a patient whose record is restricted by now", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "The same request has registered a patient who was erased since", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "Another patient has the e-mail address or an identifier, and `existingPatientId` says who if the caller may see them; or the same request is being processed", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn create_patient(
    caller: Caller,
    State((database, delivery, rule)): State<(PgPool, Delivery, EmailRule)>,
    clinic: ClinicTimeZone,
    trail: Trail,
    work: UnitOfWork,
    InputAndQuery(input, Consequences { welcome }): InputAndQuery<PatientInput, Consequences>,
) -> Result<Response, Interrupted> {
    if welcome == Welcome::NotSent {
        caller.must(Permission::RegisterWithoutWelcome)?;
    }
    let now = Utc::now();
    let details = input.parse(now, clinic, rule)?.of(None)?;
    // A newborn whose date of birth is still tomorrow here is registered on that date.
    let today = clinic.day(now).max(details.birth_date.first_day());
    let registered = details.registered_date.unwrap_or(today);

    let mut transaction = begin(work, caller, &trail, None).await?;
    let patient =
        storage::insert(details, registered, rule, caller.into(), &mut transaction).await?;
    let change = match welcome {
        Welcome::Sent => Change::Created,
        Welcome::NotSent => Change::CreatedWithoutWelcome,
    };
    outbox::register_all(slice::from_ref(&patient), change, &mut transaction).await?;
    let id = patient.id;
    trail
        .succeeded(&mut *transaction, Subject::Patient(id))
        .await?;
    // Relative to the request's own URL, so that it is correct behind any stage or domain.
    let location = [(header::LOCATION, format!("patients/{id}"))];
    let entity_tag = patient.entity_tag();
    let answer = (StatusCode::CREATED, location, entity_tag, Json(patient));
    let (answer, next) = transaction.commit_and_begin(id, answer).await?;

    delivery.deliver_next(&database, next, id).await;
    Ok(answer)
}
