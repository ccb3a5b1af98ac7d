//! `POST /api/patients/{id}/charges`: charges a patient for something that was done.

use api::{
    Input, InputErrors, PathId, Problem, ProblemDocument, State,
    layers::{ByService, Permitted},
};
use audit_trail::{About, Action, Errand};
use axum::{Json, Router, response::Response};
use billing_client::BillingClient;
use contracts::billing::v1;
use http::StatusCode;
use idempotency::IdempotencyKey;
use identity::Permission;
use money::Currency;
use patient_access::must_see;
use route::Route;
use serde::Deserialize;
use sqlx::PgPool;
use utoipa::ToSchema;
use uuid::Uuid;

use super::charge::Charge;
use crate::{account::with_account, answer, currency, day::Day, text};

/// The route.
pub const ROUTE: Route<Permitted, ByService, ByService> = Route::post("/api/patients/{id}/charges")
    .function("record-charge")
    .requires(Permission::ManageCharges)
    .carried_out_by_service(Action::RecordCharge)
    .about(About::PatientInPath);

/// Serves the route.
pub fn routes(database: PgPool, billing: BillingClient) -> Router {
    ROUTE.served_by(record_charge, (database.clone(), billing), database)
}

/// Something that was done for a patient.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({
    "code": "CONSULT-30", "quantity": 1, "serviceDate": "2027-01-12", "note": "By telephone"
}))]
pub(crate) struct NewCharge {
    /// What it is billed as: a service's code in the schedule.
    #[schema(min_length = 1, max_length = 32, pattern = "^[A-Za-z0-9._-]{1,32}$")]
    code: String,
    /// How often it was done; once if missing.
    #[schema(minimum = 1, maximum = 1000, default = 1)]
    quantity: Option<u32>,
    /// The day on which it was done, today at the latest. Its price is the one of that day.
    #[schema(value_type = NaiveDate)]
    service_date: Day,
    /// What is to be remembered about it. It is on no invoice.
    #[schema(max_length = 500)]
    note: Option<String>,
    /// The currency of the price. If missing, it is the clinic's, or that of all prices that the code
    /// has on that day.
    currency: Option<Currency>,
}

/// Charge a patient
///
/// At the price of the day on which it was done. Without a price it is `UNPRICED`, until somebody sets
/// one.
#[utoipa::path(
    post, path = ROUTE.path(), tag = "charges",
    params(("id" = Uuid, Path, description = "The patient's id"), IdempotencyKey),
    request_body = NewCharge,
    responses(
        (status = 201, description = "The patient is charged", body = Charge),
        (status = 400, description = "A field is invalid", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "The role may not charge patients, or not this one: the record is restricted", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "The patient has no billing account", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "The patient's account is closed: see `reason`", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn record_charge(
    State((database, billing)): State<(PgPool, BillingClient)>,
    PathId(patient_id): PathId,
    errand: Errand,
    Input(input): Input<NewCharge>,
) -> Result<Response, Problem> {
    let request = input.parse(patient_id)?;
    must_see(errand.caller(), patient_id, &database).await?;

    let recorded = with_account(&database, &billing, patient_id, || {
        billing.record_charge(&errand, request.clone())
    })
    .await?;
    let charge: Charge = answer::required("charge", recorded.answer.charge)?;
    errand.made(charge.resource(), Some(patient_id));
    Ok(errand.done(recorded.replayed, (StatusCode::CREATED, Json(charge))))
}

impl NewCharge {
    fn parse(self, patient_id: Uuid) -> Result<v1::RecordChargeRequest, Problem> {
        let mut errors = InputErrors::default();
        let code = errors.field("code", text::code(&self.code));
        let quantity = errors.field("quantity", quantity(self.quantity));
        let note = errors.field("note", text::if_any(self.note.as_deref(), text::note));
        let parsed = || {
            Some(v1::RecordChargeRequest {
                request_id: String::new(),
                patient_id: patient_id.to_string(),
                code: code?,
                quantity: quantity?,
                service_date: self.service_date.0.to_string(),
                note: note?,
                currency_code: currency::code_of(self.currency),
            })
        };
        parsed().ok_or_else(|| errors.into_problem())
    }
}

fn quantity(quantity: Option<u32>) -> Result<u32, &'static str> {
    let quantity = quantity.unwrap_or(1);
    if !(1..=1000).contains(&quantity) {
        return Err("The quantity must be from 1 to 1000");
    }
    Ok(quantity)
}
