//! `POST /api/payments/{id}/refunds`: asks for money to be paid back.

use api::{
    Input, InputErrors, PathId, Problem, ProblemDocument, State,
    layers::{ByService, Permitted},
};
use audit_trail::{About, Action, Errand, ResourceType};
use axum::{Json, Router, response::Response};
use billing_client::BillingClient;
use contracts::billing::v1;
use http::StatusCode;
use idempotency::IdempotencyKey;
use identity::Permission;
use money::Money;
use route::Route;
use serde::Deserialize;
use sqlx::PgPool;
use utoipa::ToSchema;
use uuid::Uuid;

use super::refund::Refund;
use crate::{
    access::must_see_owner,
    amount, answer,
    payments::{self, PaymentMethod},
    problem::problem,
    text,
};

/// The route.
pub const ROUTE: Route<Permitted, ByService, ByService> = Route::post("/api/payments/{id}/refunds")
    .function("request-refund")
    .requires(Permission::RequestRefunds)
    .carried_out_by_service(Action::RequestRefund)
    .about(About::ResourceInPath(ResourceType::Payment));

/// Serves the route.
pub fn routes(database: PgPool, billing: BillingClient) -> Router {
    ROUTE.served_by(request_refund, (database.clone(), billing), database)
}

/// What is to be paid back.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "amount": { "currency": "EUR", "minorUnits": 2265 },
    "reason": "Paid more than was due",
    "method": "TRANSFER"
}))]
pub(crate) struct NewRefund {
    /// How much; all that is left of the payment if missing.
    amount: Option<Money>,
    /// The reason, 1 to 200 characters.
    #[schema(min_length = 1, max_length = 200)]
    reason: String,
    /// How it is to be paid back; as it was paid if missing.
    method: Option<PaymentMethod>,
}

/// Request a refund
///
/// It takes what is left of the payment, which is reserved from here on. An administrator has to
/// approve it: above the clinic's limit, somebody other than the person who asked.
#[utoipa::path(
    post, path = ROUTE.path(), tag = "refunds",
    params(("id" = Uuid, Path, description = "The payment's id"), IdempotencyKey),
    request_body = NewRefund,
    responses(
        (status = 201, description = "The refund, to be approved", body = Refund,
         headers(("ETag" = String, description = "The version, for If-Match"))),
        (status = 400, description = "A field is invalid", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "The role may not ask for refunds, or not this patient's: the record is restricted", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "There is no such payment", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "The amount is more than what is left of the payment, or it was reversed: see `reason`", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn request_refund(
    State((database, billing)): State<(PgPool, BillingClient)>,
    PathId(payment_id): PathId,
    errand: Errand,
    Input(input): Input<NewRefund>,
) -> Result<Response, Problem> {
    let request = input.parse(payment_id)?;
    let payment = payments::find(&billing, payment_id).await?;
    must_see_owner(&errand, payment.resource(), payment.patient_id, &database).await?;

    let requested = billing.request_refund(&errand, request).await;
    let requested = requested.map_err(problem)?;
    let refund: Refund = answer::required("refund", requested.answer.refund)?;
    errand.made(refund.resource(), Some(payment.patient_id));
    let answer = (StatusCode::CREATED, refund.entity_tag(), Json(refund));
    Ok(errand.done(requested.replayed, answer))
}

impl NewRefund {
    fn parse(self, payment_id: Uuid) -> Result<v1::RequestRefundRequest, Problem> {
        let mut errors = InputErrors::default();
        let amount = errors.field("amount", self.amount.map(amount::positive).transpose());
        let reason = errors.field("reason", text::reason(&self.reason));
        let method = self.method.map(PaymentMethod::message);
        let parsed = || {
            Some(v1::RequestRefundRequest {
                request_id: String::new(),
                payment_id: payment_id.to_string(),
                amount: amount?.map(v1::Money::from),
                reason: reason?,
                method: method.unwrap_or_default().into(),
            })
        };
        parsed().ok_or_else(|| errors.into_problem())
    }
}
