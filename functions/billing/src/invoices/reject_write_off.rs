//! `POST /api/invoices/{id}/write-off-rejection`: decides that what is due is not given up.

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

use super::invoice::{self, Invoice};
use crate::{problem::problem, text};

/// The route.
pub const ROUTE: Route<Permitted, ByService, ByService> =
    Route::post("/api/invoices/{id}/write-off-rejection")
        .function("reject-write-off")
        .requires(Permission::WriteOffInvoices)
        .carried_out_by_service(Action::RejectWriteOff)
        .about(About::ResourceInPath(ResourceType::Invoice));

/// Serves the route.
pub fn routes(database: PgPool, billing: BillingClient) -> Router {
    ROUTE.served_by(reject_write_off, (database.clone(), billing), database)
}

/// Why what is due is not given up.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "reason": "The patient will pay in instalments" }))]
pub(crate) struct WriteOffRejection {
    /// The reason, 1 to 200 characters.
    #[schema(min_length = 1, max_length = 200)]
    reason: String,
}

/// Reject a write-off
///
/// Somebody has asked to give up what is due (`writeOffRequest`), and it is not. It can be asked for
/// again. Whoever has asked may change their mind, too.
#[utoipa::path(
    post, path = ROUTE.path(), tag = "invoices",
    params(("id" = uuid::Uuid, Path, description = "The invoice's id"), IfMatch, IdempotencyKey),
    request_body = WriteOffRejection,
    responses(
        (status = 200, description = "It stays due", body = Invoice,
         headers(("ETag" = String, description = "The new version"))),
        (status = 400, description = "The reason is missing or too long", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "The role may not decide about write-offs, or not this patient's: the record is restricted", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "There is no such invoice", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "Nobody has asked to write it off: see `reason`", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn reject_write_off(
    State((database, billing)): State<(PgPool, BillingClient)>,
    PathId(id): PathId,
    if_match: IfMatch,
    errand: Errand,
    Input(input): Input<WriteOffRejection>,
) -> Result<Response, Problem> {
    let reason = text::reason(&input.reason)
        .map_err(|error| Problem::invalid_field("reason", error.to_string()))?;
    let etag = invoice::etag_of(id, &errand, &if_match, &database, &billing).await?;
    let request = v1::RejectWriteOffRequest {
        request_id: String::new(),
        invoice_id: id.to_string(),
        etag,
        reason,
    };
    let rejected = billing.reject_write_off(&errand, request).await;
    let rejected = rejected.map_err(problem)?;
    invoice::changed(errand, rejected.replayed, rejected.answer.invoice)
}
