//! `POST /api/invoices/{id}/write-off`: gives up what is due.

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
    Route::post("/api/invoices/{id}/write-off")
        .function("write-off-invoice")
        .requires(Permission::WriteOffInvoices)
        .carried_out_by_service(Action::WriteOffInvoice)
        .about(About::ResourceInPath(ResourceType::Invoice));

/// Serves the route.
pub fn routes(database: PgPool, billing: BillingClient) -> Router {
    ROUTE.served_by(write_off_invoice, (database.clone(), billing), database)
}

/// Why what is due is given up.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "reason": "The patient has died without heirs" }))]
pub(crate) struct WriteOff {
    /// The reason, 1 to 200 characters.
    #[schema(min_length = 1, max_length = 200)]
    reason: String,
}

/// Write an invoice off
///
/// What is due is given up. Above the clinic's limit it takes two people: the invoice stays `ISSUED`,
/// with a `writeOffRequest`, until another person calls this as well.
#[utoipa::path(
    post, path = ROUTE.path(), tag = "invoices",
    params(("id" = uuid::Uuid, Path, description = "The invoice's id"), IfMatch, IdempotencyKey),
    request_body = WriteOff,
    responses(
        (status = 200, description = "It is written off, or waits for another person", body = Invoice,
         headers(("ETag" = String, description = "The new version"))),
        (status = 400, description = "The reason is missing or too long", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "The role may not write invoices off, or not this patient's: the record is restricted", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "There is no such invoice", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "Nothing is due, or it takes another person: see `reason`", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn write_off_invoice(
    State((database, billing)): State<(PgPool, BillingClient)>,
    PathId(id): PathId,
    if_match: IfMatch,
    errand: Errand,
    Input(input): Input<WriteOff>,
) -> Result<Response, Problem> {
    let reason = text::reason(&input.reason)
        .map_err(|error| Problem::invalid_field("reason", error.to_string()))?;
    let etag = invoice::etag_of(id, &errand, &if_match, &database, &billing).await?;
    let request = v1::WriteOffInvoiceRequest {
        request_id: String::new(),
        invoice_id: id.to_string(),
        etag,
        reason,
    };
    let written_off = billing.write_off_invoice(&errand, request).await;
    let written_off = written_off.map_err(problem)?;
    invoice::changed(errand, written_off.replayed, written_off.answer.invoice)
}
