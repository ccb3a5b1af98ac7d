//! `POST /api/payments/{id}/reversal`: takes back a payment that never arrived.

use api::{
    IfMatch, Input, PathId, Problem, ProblemDocument, State,
    layers::{ByService, Permitted},
};
use audit_trail::{About, Action, Errand, ResourceType};
use axum::{Router, response::Response};
use billing_client::BillingClient;
use contracts::billing::v1;
use idempotency::IdempotencyKey;
use identity::Permission;
use route::Route;
use serde::Deserialize;
use sqlx::PgPool;
use utoipa::ToSchema;

use super::payment::{self, Payment};
use crate::{problem::problem, text};

/// The route.
pub const ROUTE: Route<Permitted, ByService, ByService> =
    Route::post("/api/payments/{id}/reversal")
        .function("reverse-payment")
        .requires(Permission::ReversePayments)
        .carried_out_by_service(Action::ReversePayment)
        .about(About::ResourceInPath(ResourceType::Payment));

/// Serves the route.
pub fn routes(database: PgPool, billing: BillingClient) -> Router {
    ROUTE.served_by(reverse_payment, (database.clone(), billing), database)
}

/// Why a payment is taken back.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "reason": "The transfer was returned by the bank" }))]
pub(crate) struct PaymentReversal {
    /// The reason, 1 to 200 characters.
    #[schema(min_length = 1, max_length = 200)]
    reason: String,
}

/// Reverse a payment
///
/// As if it had not been made: what it has paid is due again. What has arrived is paid back with a
/// refund instead.
#[utoipa::path(
    post, path = ROUTE.path(), tag = "payments",
    params(("id" = uuid::Uuid, Path, description = "The payment's id"), IfMatch, IdempotencyKey),
    request_body = PaymentReversal,
    responses(
        (status = 200, description = "It is reversed", body = Payment,
         headers(("ETag" = String, description = "The new version"))),
        (status = 400, description = "The reason is missing or too long", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "The role may not reverse payments, or not this patient's: the record is restricted", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "There is no such payment", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "It is reversed already, or a refund of it is under way or done: see `reason`", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn reverse_payment(
    State((database, billing)): State<(PgPool, BillingClient)>,
    PathId(id): PathId,
    if_match: IfMatch,
    errand: Errand,
    Input(input): Input<PaymentReversal>,
) -> Result<Response, Problem> {
    let reason = text::reason(&input.reason)
        .map_err(|error| Problem::invalid_field("reason", error.to_string()))?;
    let etag = payment::etag_of(id, &errand, &if_match, &database, &billing).await?;
    let request = v1::ReversePaymentRequest {
        request_id: String::new(),
        payment_id: id.to_string(),
        etag,
        reason,
    };
    let reversed = billing.reverse_payment(&errand, request).await;
    let reversed = reversed.map_err(problem)?;
    payment::changed(errand, reversed.replayed, reversed.answer.payment)
}
