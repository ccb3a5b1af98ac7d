//! `POST /api/refunds/{id}/completion`: records that money was paid back.

use api::{
    IfMatch, OptionalInput, PathId, Problem, ProblemDocument, State,
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
    Route::post("/api/refunds/{id}/completion")
        .function("complete-refund")
        .requires(Permission::CompleteRefunds)
        .carried_out_by_service(Action::CompleteRefund)
        .about(About::ResourceInPath(ResourceType::Refund));

/// Serves the route.
pub fn routes(database: PgPool, billing: BillingClient) -> Router {
    ROUTE.served_by(complete_refund, (database.clone(), billing), database)
}

/// How money was paid back.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "reference": "SEPA-2027-0121" }))]
pub(crate) struct RefundCompletion {
    /// The number of the transfer or slip, up to 100 characters.
    #[schema(max_length = 100)]
    reference: Option<String>,
}

/// Complete a refund
///
/// The money was paid back: only what was approved may be. This is final.
#[utoipa::path(
    post, path = ROUTE.path(), tag = "refunds",
    params(("id" = uuid::Uuid, Path, description = "The refund's id"), IfMatch, IdempotencyKey),
    request_body = Option<RefundCompletion>,
    responses(
        (status = 200, description = "It is completed", body = Refund,
         headers(("ETag" = String, description = "The new version"))),
        (status = 400, description = "The reference is too long", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "The role may not pay refunds out, or not this patient's: the record is restricted", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "There is no such refund", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "It is not approved: see `reason`", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn complete_refund(
    State((database, billing)): State<(PgPool, BillingClient)>,
    PathId(id): PathId,
    if_match: IfMatch,
    errand: Errand,
    OptionalInput(input): OptionalInput<RefundCompletion>,
) -> Result<Response, Problem> {
    let reference = text::if_any(input.reference.as_deref(), text::reference)
        .map_err(|error| Problem::invalid_field("reference", error.to_string()))?;
    let etag = refund::etag_of(id, &errand, &if_match, &database, &billing).await?;
    let request = v1::CompleteRefundRequest {
        request_id: String::new(),
        refund_id: id.to_string(),
        etag,
        reference,
    };
    let completed = billing.complete_refund(&errand, request).await;
    let completed = completed.map_err(problem)?;
    refund::changed(errand, completed.replayed, completed.answer.refund)
}
