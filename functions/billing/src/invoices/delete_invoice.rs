//! `DELETE /api/invoices/{id}`: gives up a draft.

use api::{
    IfMatch, PathId, Problem, ProblemDocument, ProblemType, State,
    layers::{ByService, Permitted},
};
use audit_trail::{About, Action, Errand, ResourceType};
use axum::{Router, response::Response};
use billing_client::BillingClient;
use contracts::billing::v1;
use http::StatusCode;
use idempotency::IdempotencyKey;
use identity::Permission;
use route::Route;
use sqlx::PgPool;

use super::invoice;
use crate::{access::etag_for, problem::problem};

/// The route.
pub const ROUTE: Route<Permitted, ByService, ByService> = Route::delete("/api/invoices/{id}")
    .function("delete-invoice")
    .requires(Permission::ManageInvoices)
    .carried_out_by_service(Action::DraftInvoice)
    .about(About::ResourceInPath(ResourceType::Invoice));

/// Serves the route.
pub fn routes(database: PgPool, billing: BillingClient) -> Router {
    ROUTE.served_by(delete_invoice, (database.clone(), billing), database)
}

/// Delete a draft
///
/// Its charges can be put on another invoice. What was issued is never deleted: void it, or write a
/// credit note.
#[utoipa::path(
    delete, path = ROUTE.path(), tag = "invoices",
    params(("id" = uuid::Uuid, Path, description = "The invoice's id"), IfMatch, IdempotencyKey),
    responses(
        (status = 204, description = "It is deleted"),
        (status = 403, description = "The role may not draft invoices, or not this patient's: the record is restricted", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "There is no such invoice", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "It is not a draft: see `reason`", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn delete_invoice(
    State((database, billing)): State<(PgPool, BillingClient)>,
    PathId(id): PathId,
    if_match: IfMatch,
    errand: Errand,
) -> Result<Response, Problem> {
    let etag = match invoice::etag_of(id, &errand, &if_match, &database, &billing).await {
        // Who has deleted it and asks once more gets the answer of then. There is nothing to be seen.
        Err(problem) if problem.kind() == ProblemType::NotFound => etag_for(&if_match),
        etag => etag?,
    };
    let request = v1::DeleteInvoiceRequest {
        request_id: String::new(),
        invoice_id: id.to_string(),
        etag,
    };
    let deleted = billing.delete_invoice(&errand, request).await;
    let deleted = deleted.map_err(problem)?;
    Ok(errand.done(deleted.replayed, StatusCode::NO_CONTENT))
}
