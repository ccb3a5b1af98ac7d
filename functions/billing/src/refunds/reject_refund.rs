//! `POST /api/refunds/{id}/rejection`: decides that money is not paid back.

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

use super::refund::{self, Refund};
use crate::{problem::problem, text};

/// The route.
pub const ROUTE: Route<Permitted, ByService, ByService> =
    Route::post("/api/refunds/{id}/rejection")
        .function("reject-refund")
        .requires(Permission::ApproveRefunds)
        .carried_out_by_service(Action::RejectRefund)
        .about(About::ResourceInPath(ResourceType::Refund));

/// Serves the route.
pub fn routes(database: PgPool, billing: BillingClient) -> Router {
    ROUTE.served_by(reject_refund, (database.clone(), billing), database)
}

/// Why money is not paid back.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "reason": "The patient wants to keep the credit" }))]
pub(crate) struct RefundRejection {
    /// The reason, 1 to 200 characters.
    #[schema(min_length = 1, max_length = 200)]
    reason: String,
}

/// Reject a refund
///
/// It is not paid out, also if it was approved, and the payment has its credit back.
#[utoipa::path(
    post, path = ROUTE.path(), tag = "refunds",
    params(("id" = uuid::Uuid, Path, description = "The refund's id"), IfMatch, IdempotencyKey),
    request_body = RefundRejection,
    responses(
        (status = 200, description = "It is rejected", body = Refund,
         headers(("ETag" = String, description = "The new version"))),
        (status = 400, description = "The reason is missing or too long", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "The role may not reject refunds, or not this patient's: the record is restricted", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "There is no such refund", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "It is rejected or paid out already: see `reason`", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn reject_refund(
    State((database, billing)): State<(PgPool, BillingClient)>,
    PathId(id): PathId,
    if_match: IfMatch,
    errand: Errand,
    Input(input): Input<RefundRejection>,
) -> Result<Response, Problem> {
    let reason = text::reason(&input.reason)
        .map_err(|error| Problem::invalid_field("reason", error.to_string()))?;
    let etag = refund::etag_of(id, &errand, &if_match, &database, &billing).await?;
    let request = v1::RejectRefundRequest {
        request_id: String::new(),
        refund_id: id.to_string(),
        etag,
        reason,
    };
    let rejected = billing.reject_refund(&errand, request).await;
    let rejected = rejected.map_err(problem)?;
    refund::changed(errand, rejected.replayed, rejected.answer.refund)
}
