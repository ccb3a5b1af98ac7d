//! `PUT /api/invoices/{id}`: decides anew what is on a draft.

use api::{
    Id, IfMatch, Input, PathId, Problem, ProblemDocument, State,
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

use super::{
    draft_invoice::MOST_CHARGES,
    invoice::{self, Invoice},
};
use crate::problem::problem;

/// The route.
pub const ROUTE: Route<Permitted, ByService, ByService> = Route::put("/api/invoices/{id}")
    .function("update-invoice")
    .requires(Permission::ManageInvoices)
    .carried_out_by_service(Action::DraftInvoice)
    .about(About::ResourceInPath(ResourceType::Invoice));

/// Serves the route.
pub fn routes(database: PgPool, billing: BillingClient) -> Router {
    ROUTE.served_by(update_invoice, (database.clone(), billing), database)
}

/// What is to be on the draft.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({ "chargeIds": ["0199f7a2-6d02-7a11-8f0e-5b1c7a90d3f1"] }))]
pub(crate) struct InvoiceContent {
    /// Billable charges of the patient, all in the currency of the draft, in the order of its lines.
    #[schema(value_type = Vec<uuid::Uuid>, min_items = 1, max_items = 200)]
    charge_ids: Vec<Id>,
}

/// Change a draft
///
/// Its lines are replaced by the charges that are named; what it had and is not named can be put on
/// another invoice. What was issued is never changed.
#[utoipa::path(
    put, path = ROUTE.path(), tag = "invoices",
    params(("id" = uuid::Uuid, Path, description = "The invoice's id"), IfMatch, IdempotencyKey),
    request_body = InvoiceContent,
    responses(
        (status = 200, description = "The draft", body = Invoice,
         headers(("ETag" = String, description = "The new version"))),
        (status = 400, description = "A field is invalid", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "The role may not draft invoices, or not this patient's: the record is restricted", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "There is no such invoice", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "It is not a draft, or a charge is not billable: see `reason`", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn update_invoice(
    State((database, billing)): State<(PgPool, BillingClient)>,
    PathId(id): PathId,
    if_match: IfMatch,
    errand: Errand,
    Input(input): Input<InvoiceContent>,
) -> Result<Response, Problem> {
    let lines = input.lines()?;
    let etag = invoice::etag_of(id, &errand, &if_match, &database, &billing).await?;
    let request = v1::UpdateInvoiceRequest {
        request_id: String::new(),
        invoice_id: id.to_string(),
        etag,
        lines,
    };
    let updated = billing.update_invoice(&errand, request).await;
    let updated = updated.map_err(problem)?;
    invoice::changed(errand, updated.replayed, updated.answer.invoice)
}

impl InvoiceContent {
    fn lines(self) -> Result<Vec<v1::DraftLine>, Problem> {
        if !(1..=MOST_CHARGES).contains(&self.charge_ids.len()) {
            return Err(Problem::invalid_field("chargeIds", "Name 1 to 200 charges"));
        }
        let mut named = std::collections::HashSet::new();
        if !self.charge_ids.iter().all(|Id(id)| named.insert(*id)) {
            let detail = "A charge cannot be there twice";
            return Err(Problem::invalid_field("chargeIds", detail));
        }
        let lines = self.charge_ids.into_iter().map(|Id(charge)| v1::DraftLine {
            charge_id: charge.to_string(),
            discount: None,
        });
        Ok(lines.collect())
    }
}
