//! `POST /api/patients/{id}/invoices`: drafts an invoice from a patient's charges.

use api::{
    Id, OptionalInput, PathId, Problem, ProblemDocument, State,
    layers::{ByService, Permitted},
};
use audit_trail::{About, Action, Errand};
use axum::{Json, Router, response::Response};
use billing_client::BillingClient;
use contracts::billing::v1;
use http::{StatusCode, header};
use idempotency::IdempotencyKey;
use identity::Permission;
use money::Currency;
use patient_access::must_see;
use route::Route;
use serde::Deserialize;
use sqlx::PgPool;
use utoipa::ToSchema;
use uuid::Uuid;

use super::invoice::Invoice;
use crate::{account::with_account, answer, currency};

/// How many charges fit on an invoice.
pub(super) const MOST_CHARGES: usize = 200;

/// The route.
pub const ROUTE: Route<Permitted, ByService, ByService> =
    Route::post("/api/patients/{id}/invoices")
        .function("draft-invoice")
        .requires(Permission::ManageInvoices)
        .carried_out_by_service(Action::DraftInvoice)
        .about(About::PatientInPath);

/// Serves the route.
pub fn routes(database: PgPool, billing: BillingClient) -> Router {
    ROUTE.served_by(draft_invoice, (database.clone(), billing), database)
}

/// What goes on the invoice.
#[derive(Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({ "chargeIds": ["0199f7a2-6d02-7a11-8f0e-5b1c7a90d3f1"] }))]
pub(crate) struct InvoiceDraft {
    /// Billable charges of the patient, all in one currency. All that there
    /// are, at most 200, if missing.
    #[schema(value_type = Option<Vec<Uuid>>, min_items = 1, max_items = 200)]
    charge_ids: Option<Vec<Id>>,
    /// The currency, if no charges are named; the clinic's if missing.
    currency: Option<Currency>,
}

/// Draft an invoice
///
/// From charges of the patient that are on no other invoice. A draft has no number, and asks for
/// nothing yet.
#[utoipa::path(
    post, path = ROUTE.path(), tag = "invoices",
    params(("id" = Uuid, Path, description = "The patient's id"), IdempotencyKey),
    request_body = Option<InvoiceDraft>,
    responses(
        (status = 201, description = "The draft", body = Invoice,
         headers(("ETag" = String, description = "The version, for If-Match"),
                 ("Location" = String, description = "Where the invoice is"))),
        (status = 400, description = "A field is invalid", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "The role may not draft invoices, or not this patient's: the record is restricted", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "The patient has no billing account", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "A charge is not billable, or there is none: see `reason`", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn draft_invoice(
    State((database, billing)): State<(PgPool, BillingClient)>,
    PathId(patient_id): PathId,
    errand: Errand,
    OptionalInput(input): OptionalInput<InvoiceDraft>,
) -> Result<Response, Problem> {
    let request = input.parse(patient_id)?;
    must_see(errand.caller(), patient_id, &database).await?;

    let drafted = with_account(&database, &billing, patient_id, || {
        billing.create_invoice(&errand, request.clone())
    })
    .await?;
    let invoice: Invoice = answer::required("invoice", drafted.answer.invoice)?;
    errand.made(invoice.resource(), Some(patient_id));
    let location = format!("../../invoices/{}", invoice.id());
    let location = [(header::LOCATION, location)];
    let answer = (
        StatusCode::CREATED,
        location,
        invoice.entity_tag(),
        Json(invoice),
    );
    Ok(errand.done(drafted.replayed, answer))
}

impl InvoiceDraft {
    fn parse(self, patient_id: Uuid) -> Result<v1::CreateInvoiceRequest, Problem> {
        let charges = match &self.charge_ids {
            Some(charges) if !(1..=MOST_CHARGES).contains(&charges.len()) => {
                let detail = "Name 1 to 200 charges, or none to take all that are billable";
                return Err(Problem::invalid_field("chargeIds", detail));
            }
            Some(charges) => charges.as_slice(),
            None => &[],
        };
        Ok(v1::CreateInvoiceRequest {
            request_id: String::new(),
            patient_id: patient_id.to_string(),
            charge_ids: charges.iter().map(|Id(id)| id.to_string()).collect(),
            currency_code: currency::code_of(self.currency),
        })
    }
}
