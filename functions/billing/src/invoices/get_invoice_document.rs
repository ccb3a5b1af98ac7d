//! `GET /api/invoices/{id}/document`: one invoice as it is sent to the patient.

use api::{
    ClinicTimeZone, EntityTag, PathId, Problem, ProblemDocument, State,
    layers::{Permitted, Recorded, Repeatable},
};
use audit_trail::{About, Action, ResourceType, Trail};
use axum::{Router, response::IntoResponse};
use billing_client::BillingClient;
use chrono::Utc;
use documents::{CONTENT_TYPE, Document};
use http::header;
use identity::{Caller, Permission};
use route::Route;
use sqlx::PgPool;

use super::{invoice, letterhead::Letterhead};
use crate::access::show;

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
/// archived (PDF/A). Send `Accept: application/pdf`, before anything else that is accepted: otherwise
/// the gateway may answer with the file in base64. Every read of an invoice is recorded in the audit
/// trail.
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
) -> Result<(EntityTag, impl IntoResponse), Problem> {
    let invoice = invoice::find(&billing, id).await?;
    let owner = invoice.patient_id;
    show(caller, &trail, invoice.resource(), owner, &database).await?;
    let printed = invoice.printed(Utc::now(), zone)?;
    let document = printed.pdf(letterhead.clinic());
    let document = document.map_err(Problem::internal)?;
    tell_of_missing_letters(&document);
    let disposition = format!("inline; filename=\"{}\"", invoice.file_name());
    let headers = [
        (header::CONTENT_TYPE, CONTENT_TYPE.to_owned()),
        (header::CONTENT_DISPOSITION, disposition),
    ];
    Ok((invoice.entity_tag(), (headers, document.bytes)))
}

/// Whoever looks after the system can find out which script a font has to be added for. Letters
/// alone do not say whose name they are from.
fn tell_of_missing_letters(document: &Document) {
    if !document.missing.is_empty() {
        let letters: Vec<String> = document.missing.iter().copied().map(code_point).collect();
        tracing::warn!(?letters, "no font has some letters of a document");
    }
}

fn code_point(letter: char) -> String {
    format!("U+{:04X}", u32::from(letter))
}

/// A PDF file
#[derive(utoipa::ToSchema)]
#[schema(value_type = String, format = Binary)]
#[expect(dead_code, reason = "it describes bytes")]
pub(crate) struct PdfFile(Vec<u8>);
