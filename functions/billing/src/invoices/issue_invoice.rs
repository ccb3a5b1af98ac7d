//! `POST /api/invoices/{id}/issue`: asks the patient to pay.

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

use super::invoice::{self, Invoice};
use crate::{
    access::{etag_for, must_see_owner},
    account::with_account,
};

/// The route.
pub const ROUTE: Route<Permitted, ByService, ByService> = Route::post("/api/invoices/{id}/issue")
    .function("issue-invoice")
    .requires(Permission::ManageInvoices)
    .carried_out_by_service(Action::IssueInvoice)
    .about(About::ResourceInPath(ResourceType::Invoice));

/// Serves the route.
pub fn routes(database: PgPool, billing: BillingClient) -> Router {
    ROUTE.served_by(issue_invoice, (database.clone(), billing), database)
}

/// Issue an invoice
///
/// A draft gets the next number and today's date, and is copied for good: from here on, it can only be
/// voided, credited or written off. What the patient has of credit is used for it.
#[utoipa::path(
    post, path = ROUTE.path(), tag = "invoices",
    params(("id" = uuid::Uuid, Path, description = "The invoice's id"), IfMatch, IdempotencyKey),
    responses(
        (status = 200, description = "It is issued", body = Invoice,
         headers(("ETag" = String, description = "The new version"))),
        (status = 403, description = "The role may not issue invoices, or not this patient's: the record is restricted", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "There is no such invoice, or the patient has no billing account yet", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "It is not a draft, has no lines, or has a charge of another patient, with whose record this one's was merged for a while: see `reason`", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn issue_invoice(
    State((database, billing)): State<(PgPool, BillingClient)>,
    PathId(id): PathId,
    if_match: IfMatch,
    errand: Errand,
) -> Result<Response, Problem> {
    let invoice = invoice::find(&billing, id).await?;
    must_see_owner(&errand, invoice.resource(), invoice.patient_id, &database).await?;

    let request = v1::IssueInvoiceRequest {
        request_id: String::new(),
        invoice_id: id.to_string(),
        etag: etag_for(&if_match),
    };
    // A draft may be on the account of a record that was merged into this patient's since.
    let issued = with_account(&database, &billing, invoice.patient_id, || {
        billing.issue_invoice(&errand, request.clone())
    })
    .await?;
    invoice::changed(errand, issued.replayed, issued.answer.invoice)
}
