//! `POST /api/refunds/{id}/approval`: decides that money is paid back.

use api::{
    IfMatch, PathId, Problem, ProblemDocument, State,
    layers::{ByService, Permitted},
};
use audit_trail::{About, Action, Errand, ResourceType};
use axum::{Router, response::Response};
use billing_client::BillingClient;
use contracts::billing::v1;
use idempotency::IdempotencyKey;
use identity::Permission;
use route::Route;
use sqlx::PgPool;

use super::refund::{self, Refund};
use crate::problem::problem;

/// The route.
pub const ROUTE: Route<Permitted, ByService, ByService> = Route::post("/api/refunds/{id}/approval")
    .function("approve-refund")
    .requires(Permission::ApproveRefunds)
    .carried_out_by_service(Action::ApproveRefund)
    .about(About::ResourceInPath(ResourceType::Refund));

/// Serves the route.
pub fn routes(database: PgPool, billing: BillingClient) -> Router {
    ROUTE.served_by(approve_refund, (database.clone(), billing), database)
}

/// Approve a refund
///
/// It may be paid out. Above the clinic's limit, it has to be approved by someone other than who
/// asked for it.
#[utoipa::path(
    post, path = ROUTE.path(), tag = "refunds",
    params(("id" = uuid::Uuid, Path, description = "The refund's id"), IfMatch, IdempotencyKey),
    responses(
        (status = 200, description = "It is approved", body = Refund,
         headers(("ETag" = String, description = "The new version"))),
        (status = 403, description = "The role may not approve refunds, or not this patient's: the record is restricted", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "There is no such refund", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "It is decided already, or it takes another person: see `reason`", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn approve_refund(
    State((database, billing)): State<(PgPool, BillingClient)>,
    PathId(id): PathId,
    if_match: IfMatch,
    errand: Errand,
) -> Result<Response, Problem> {
    let etag = refund::etag_of(id, &errand, &if_match, &database, &billing).await?;
    let request = v1::ApproveRefundRequest {
        request_id: String::new(),
        refund_id: id.to_string(),
        etag,
    };
    let approved = billing.approve_refund(&errand, request).await;
    let approved = approved.map_err(problem)?;
    refund::changed(errand, approved.replayed, approved.answer.refund)
}
