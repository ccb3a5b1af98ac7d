//! `POST /api/invoices/{id}/void`: takes an invoice back.

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
pub const ROUTE: Route<Permitted, ByService, ByService> = Route::post("/api/invoices/{id}/void")
    .function("void-invoice")
    .requires(Permission::CorrectInvoices)
    .carried_out_by_service(Action::VoidInvoice)
    .about(About::ResourceInPath(ResourceType::Invoice));

/// Serves the route.
pub fn routes(database: PgPool, billing: BillingClient) -> Router {
    ROUTE.served_by(void_invoice, (database.clone(), billing), database)
}

/// Why an invoice is taken back.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "reason": "Issued to the wrong patient" }))]
pub(crate) struct InvoiceVoiding {
    /// The reason, 1 to 200 characters.
    #[schema(min_length = 1, max_length = 200)]
    reason: String,
}

/// Void an invoice
///
/// As if it had not been issued: nothing is due, what was paid is the patient's credit, and its charges
/// can be billed again. It keeps its number, so that there is no gap.
#[utoipa::path(
    post, path = ROUTE.path(), tag = "invoices",
    params(("id" = uuid::Uuid, Path, description = "The invoice's id"), IfMatch, IdempotencyKey),
    request_body = InvoiceVoiding,
    responses(
        (status = 200, description = "It is void", body = Invoice,
         headers(("ETag" = String, description = "The new version"))),
        (status = 400, description = "The reason is missing or too long", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "The role may not void invoices, or not this patient's: the record is restricted", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "There is no such invoice", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "It is not issued, or there is a credit note about it: see `reason`", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn void_invoice(
    State((database, billing)): State<(PgPool, BillingClient)>,
    PathId(id): PathId,
    if_match: IfMatch,
    errand: Errand,
    Input(input): Input<InvoiceVoiding>,
) -> Result<Response, Problem> {
    let reason = text::reason(&input.reason)
        .map_err(|error| Problem::invalid_field("reason", error.to_string()))?;
    let etag = invoice::etag_of(id, &errand, &if_match, &database, &billing).await?;
    let request = v1::VoidInvoiceRequest {
        request_id: String::new(),
        invoice_id: id.to_string(),
        etag,
        reason,
    };
    let voided = billing.void_invoice(&errand, request).await;
    let voided = voided.map_err(problem)?;
    invoice::changed(errand, voided.replayed, voided.answer.invoice)
}
