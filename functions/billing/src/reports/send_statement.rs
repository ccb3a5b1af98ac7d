//! `POST /api/patients/{id}/statement/deliveries`: sends a statement to the patient.

use api::{
    OptionalInput, PathId, Problem, ProblemDocument, State,
    layers::{ByService, Permitted},
};
use audit_trail::{About, Action, Errand};
use axum::{Json, Router, response::Response};
use billing_client::{BillingClient, BillingError};
use chrono::{DateTime, NaiveDate, Utc};
use contracts::billing::v1;
use http::StatusCode;
use idempotency::IdempotencyKey;
use identity::Permission;
use money::Currency;
use patient_access::must_see;
use route::Route;
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{account::with_account, answer, currency, day::Day};

/// The route.
pub const ROUTE: Route<Permitted, ByService, ByService> =
    Route::post("/api/patients/{id}/statement/deliveries")
        .function("send-statement")
        .requires(Permission::ManageInvoices)
        .carried_out_by_service(Action::SendStatement)
        .about(About::PatientInPath);

/// Serves the route.
pub fn routes(database: PgPool, billing: BillingClient) -> Router {
    ROUTE.served_by(send_statement, (database.clone(), billing), database)
}

/// Which statement is sent.
#[derive(Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({ "from": "2026-01-01", "to": "2026-12-31" }))]
pub(crate) struct StatementToSend {
    /// The first day; from the first line if missing.
    #[schema(value_type = Option<NaiveDate>)]
    from: Option<Day>,
    /// The last day; until today if missing.
    #[schema(value_type = Option<NaiveDate>)]
    to: Option<Day>,
    /// The currency; the clinic's if missing.
    currency: Option<Currency>,
}

/// That a statement is sent to the patient
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = json!({
    "id": "0199f7a2-6d02-7a11-8f0e-5b1c7a90d3fc",
    "patientId": "0199f7a2-6c1e-7c35-9b6c-0d2a54f3c1aa",
    "from": "2026-01-01",
    "to": "2026-12-31",
    "createdAt": "2027-01-15T09:35:00.223456Z",
    "createdBy": "0199f7a2-6c1e-7c35-9b6c-0d2a54f3c1ab"
}))]
pub(crate) struct StatementDelivery {
    /// Identifies the message: what became of it is in `GET /api/notifications`, under this id.
    id: Uuid,
    /// The patient, under the id that they have now.
    patient_id: Uuid,
    /// The first day of the period, as the document says: that of the first line if none was asked for.
    from: NaiveDate,
    /// The last day of the period.
    to: NaiveDate,
    /// When somebody asked for it.
    created_at: DateTime<Utc>,
    /// Who did.
    #[schema(required)]
    created_by: Option<Uuid>,
}

/// Send a patient's statement
///
/// By e-mail, to the patient's address: what `GET /api/patients/{id}/statement/document` shows now, as a
/// PDF file. The message itself, in the patient's language, names nothing but the period. It is sent
/// within a minute or so, to the address that the patient has then, unless they want no e-mail:
/// `GET /api/notifications` tells. Asked for again, it is sent again.
#[utoipa::path(
    post, path = ROUTE.path(), tag = "billing-reports",
    params(("id" = Uuid, Path, description = "The patient's id"), IdempotencyKey),
    request_body = Option<StatementToSend>,
    responses(
        (status = 201, description = "It is sent", body = StatementDelivery),
        (status = 400, description = "A field is invalid, or the period has more than 10,000 lines", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "The role may not send statements, or not this patient's: the record is restricted", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "The patient has no billing account", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "The patient has no e-mail address, is deleted, or is protected: see `reason`", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn send_statement(
    State((database, billing)): State<(PgPool, BillingClient)>,
    PathId(patient_id): PathId,
    errand: Errand,
    OptionalInput(wanted): OptionalInput<StatementToSend>,
) -> Result<Response, Problem> {
    must_see(errand.caller(), patient_id, &database).await?;

    let request = v1::SendStatementRequest {
        request_id: String::new(),
        patient_id: patient_id.to_string(),
        from_date: Day::text_of(wanted.from),
        to_date: Day::text_of(wanted.to),
        currency_code: currency::code_of(wanted.currency),
    };
    let sent = with_account(&database, &billing, patient_id, || {
        billing.send_statement(&errand, request.clone())
    })
    .await?;
    let delivery: StatementDelivery = answer::required("delivery", sent.answer.delivery)?;
    let answer = (StatusCode::CREATED, Json(delivery));
    Ok(errand.done(sent.replayed, answer))
}

impl TryFrom<v1::StatementDelivery> for StatementDelivery {
    type Error = BillingError;

    fn try_from(delivery: v1::StatementDelivery) -> Result<Self, BillingError> {
        Ok(Self {
            id: answer::id("delivery_id", &delivery.delivery_id)?,
            patient_id: answer::id("patient_id", &delivery.patient_id)?,
            from: answer::day("from_date", &delivery.from_date)?,
            to: answer::day("to_date", &delivery.to_date)?,
            created_at: answer::time("create_time", delivery.create_time)?,
            created_by: answer::id_if_any("created_by", &delivery.created_by)?,
        })
    }
}
