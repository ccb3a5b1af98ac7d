//! `GET /api/invoices/{id}`: one invoice.

use api::{
    EntityTag, PathId, Problem, ProblemDocument, State,
    layers::{Permitted, Recorded, Repeatable},
};
use audit_trail::{About, Action, ResourceType, Trail};
use axum::{Json, Router};
use billing_client::BillingClient;
use identity::{Caller, Permission};
use route::Route;
use sqlx::PgPool;

use super::invoice::{self, Invoice};
use crate::access::show;

/// The route.
pub const ROUTE: Route<Permitted, Recorded, Repeatable> = Route::get("/api/invoices/{id}")
    .function("get-invoice")
    .requires(Permission::ReadInvoices)
    .records(Action::ReadInvoices)
    .about(About::ResourceInPath(ResourceType::Invoice));

/// Serves the route.
pub fn routes(database: PgPool, billing: BillingClient) -> Router {
    ROUTE.served_by(get_invoice, (database.clone(), billing), database)
}

/// Get an invoice
///
/// With what was paid, credited and given up of it until now. Every read of an invoice is recorded in
/// the audit trail.
#[utoipa::path(
    get, path = ROUTE.path(), tag = "invoices",
    params(("id" = uuid::Uuid, Path, description = "The invoice's id")),
    responses(
        (status = 200, description = "The invoice", body = Invoice,
         headers(("ETag" = String, description = "The version, for If-Match"))),
        (status = 403, description = "The role may not see invoices, or not this patient's: the record is restricted", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "There is no such invoice", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn get_invoice(
    caller: Caller,
    State((database, billing)): State<(PgPool, BillingClient)>,
    trail: Trail,
    PathId(id): PathId,
) -> Result<(EntityTag, Json<Invoice>), Problem> {
    let invoice = invoice::find(&billing, id).await?;
    show(
        caller,
        &trail,
        invoice.resource(),
        invoice.patient_id,
        &database,
    )
    .await?;
    Ok((invoice.entity_tag(), Json(invoice)))
}
