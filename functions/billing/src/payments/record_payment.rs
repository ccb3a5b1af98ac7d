//! `POST /api/patients/{id}/payments`: records what a patient has paid.

use api::{
    Id, Input, InputErrors, PathId, Problem, ProblemDocument, State,
    layers::{ByService, Permitted},
};
use audit_trail::{About, Action, Errand};
use axum::{Json, Router, response::Response};
use billing_client::BillingClient;
use contracts::billing::v1;
use http::StatusCode;
use idempotency::IdempotencyKey;
use identity::Permission;
use money::Money;
use patient_access::must_see;
use route::Route;
use serde::Deserialize;
use sqlx::PgPool;
use utoipa::ToSchema;
use uuid::Uuid;

use super::payment::{Payment, PaymentMethod};
use crate::{account::with_account, amount, answer, text};

/// How many invoices a payment may be for.
const MOST_INVOICES: usize = 50;

/// The route.
pub const ROUTE: Route<Permitted, ByService, ByService> =
    Route::post("/api/patients/{id}/payments")
        .function("record-payment")
        .requires(Permission::RecordPayments)
        .carried_out_by_service(Action::RecordPayment)
        .about(About::PatientInPath);

/// Serves the route.
pub fn routes(database: PgPool, billing: BillingClient) -> Router {
    ROUTE.served_by(record_payment, (database.clone(), billing), database)
}

/// What a patient has paid.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({
    "amount": { "currency": "EUR", "minorUnits": 10_000 },
    "method": "CARD",
    "reference": "CARD-88127",
    "invoiceIds": ["0199f7a2-6d02-7a11-8f0e-5b1c7a90d3f2"]
}))]
pub(crate) struct NewPayment {
    /// How much; more than 0.
    amount: Money,
    /// How it was paid.
    method: PaymentMethod,
    /// The number of the transfer or of the card's slip. Of each method, a reference can be recorded
    /// once, ever.
    #[schema(max_length = 100)]
    reference: Option<String>,
    /// Issued invoices of the patient in this currency, to be paid in this order. If there are none,
    /// all of it is credit.
    #[serde(default)]
    #[schema(value_type = Vec<Uuid>, max_items = 50)]
    invoice_ids: Vec<Id>,
}

/// Record a payment
///
/// It pays the invoices in their order, each up to what is due. What is left is the patient's credit,
/// which pays the next invoice.
#[utoipa::path(
    post, path = ROUTE.path(), tag = "payments",
    params(("id" = Uuid, Path, description = "The patient's id"), IdempotencyKey),
    request_body = NewPayment,
    responses(
        (status = 201, description = "It is recorded", body = Payment,
         headers(("ETag" = String, description = "The version, for If-Match"))),
        (status = 400, description = "A field is invalid", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "The role may not record payments, or not this patient's: the record is restricted", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "The patient has no billing account", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "The reference is known already, or an invoice is not issued: see `reason`", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn record_payment(
    State((database, billing)): State<(PgPool, BillingClient)>,
    PathId(patient_id): PathId,
    errand: Errand,
    Input(input): Input<NewPayment>,
) -> Result<Response, Problem> {
    let request = input.parse(patient_id)?;
    must_see(errand.caller(), patient_id, &database).await?;

    let recorded = with_account(&database, &billing, patient_id, || {
        billing.record_payment(&errand, request.clone())
    })
    .await?;
    let payment: Payment = answer::required("payment", recorded.answer.payment)?;
    errand.made(payment.resource(), Some(patient_id));
    let answer = (StatusCode::CREATED, payment.entity_tag(), Json(payment));
    Ok(errand.done(recorded.replayed, answer))
}

impl NewPayment {
    fn parse(self, patient_id: Uuid) -> Result<v1::RecordPaymentRequest, Problem> {
        let mut errors = InputErrors::default();
        let amount = errors.field("amount", amount::positive(self.amount));
        let reference = text::if_any(self.reference.as_deref(), text::reference);
        let reference = errors.field("reference", reference);
        let invoices = errors.field("invoiceIds", invoices(self.invoice_ids));
        let parsed = || {
            Some(v1::RecordPaymentRequest {
                request_id: String::new(),
                patient_id: patient_id.to_string(),
                amount: Some(amount?.into()),
                method: self.method.message().into(),
                reference: reference?,
                invoice_ids: invoices?,
            })
        };
        parsed().ok_or_else(|| errors.into_problem())
    }
}

fn invoices(ids: Vec<Id>) -> Result<Vec<String>, &'static str> {
    if ids.len() > MOST_INVOICES {
        return Err("A payment can be for 50 invoices at most");
    }
    Ok(ids.into_iter().map(|Id(id)| id.to_string()).collect())
}
