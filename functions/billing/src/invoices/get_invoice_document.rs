//! `GET /api/invoices/{id}/document`: one invoice as it is sent to the patient.

use api::{
    ClinicTimeZone, EntityTag, PathId, Problem, ProblemDocument, State,
    layers::{Permitted, Recorded, Repeatable},
};
use audit_trail::{About, Action, ResourceType, Trail};
use axum::{Router, response::Response};
use billing_client::BillingClient;
use chrono::Utc;
use identity::{Caller, Permission};
use route::Route;
use sqlx::PgPool;

use super::invoice;
use crate::{
    access::show,
    letterhead::Letterhead,
    pdf_file::{self, PdfFile},
    problem::problem,
};

/// The route.
pub const ROUTE: Route<Permitted, Recorded, Repeatable> = Route::get("/api/invoices/{id}/document")
    .function("get-invoice-document")
    .requires(Permission::ReadInvoices)
    .records(Action::ReadInvoices)
    .about(About::ResourceInPath(ResourceType::Invoice));

/// Serves the route.
pub fn routes(database: PgPool, billing: BillingClient, letterhead: Letterhead) -> Router {
    let with = (database.clone(), billing, letterhead);
    ROUTE.served_by(get_invoice_document, with, database)
}

/// Get an invoice as PDF
///
/// As it was issued, with the clinic's letterhead and in its language, and with what was paid,
/// credited and given up of it until now. A draft and a void invoice say that they are. It can be
/// archived (PDF/A). Every read of an invoice is recorded in the audit trail.
#[utoipa::path(
    get, path = ROUTE.path(), tag = "invoices",
    params(("id" = uuid::Uuid, Path, description = "The invoice's id")),
    responses(
        (status = 200, description = "The document", body = PdfFile, content_type = "application/pdf",
         headers(
             ("ETag" = String, description = "The version of the invoice, for If-Match"),
             ("Content-Disposition" = String, description = "That it can be shown, and what the file is called: as the number of the invoice"),
         )),
        (status = 403, description = "The role may not see invoices, or not this patient's: the record is restricted", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "There is no such invoice", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn get_invoice_document(
    caller: Caller,
    State((database, billing, letterhead)): State<(PgPool, BillingClient, Letterhead)>,
    zone: ClinicTimeZone,
    trail: Trail,
    PathId(id): PathId,
) -> Result<(EntityTag, Response), Problem> {
    let invoice = invoice::find(&billing, id).await?;
    let owner = invoice.patient_id;
    show(caller, &trail, invoice.resource(), owner, &database).await?;
    let printed = invoice.printed(Utc::now(), |at| zone.day(at));
    let printed = printed.map_err(problem)?;
    let printed = printed.pdf(letterhead.clinic());
    let document = pdf_file::response(printed.map(|document| (document, invoice.file_name())))?;
    Ok((invoice.entity_tag(), document))
}
