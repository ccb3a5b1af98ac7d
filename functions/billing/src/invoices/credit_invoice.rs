//! `POST /api/invoices/{id}/credit-notes`: says that an invoice, or a part of it, does not have to be
//! paid.

use api::{
    Id, IfMatch, Input, InputErrors, PathId, Problem, ProblemDocument, State,
    layers::{ByService, Permitted},
};
use audit_trail::{About, Action, Errand, ResourceType};
use axum::{Json, Router, response::Response};
use billing_client::{BillingClient, BillingError};
use contracts::billing::v1;
use http::StatusCode;
use idempotency::IdempotencyKey;
use identity::Permission;
use money::Money;
use route::Route;
use serde::Deserialize;
use sqlx::PgPool;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    credit_note::CreditNote,
    invoice::{self, Invoice},
};
use crate::{amount, answer, problem::problem, text};

/// How many lines an invoice has at most.
const MOST_LINES: usize = 200;

/// The route.
pub const ROUTE: Route<Permitted, ByService, ByService> =
    Route::post("/api/invoices/{id}/credit-notes")
        .function("credit-invoice")
        .requires(Permission::CorrectInvoices)
        .carried_out_by_service(Action::CreditInvoice)
        .about(About::ResourceInPath(ResourceType::Invoice));

/// Serves the route.
pub fn routes(database: PgPool, billing: BillingClient) -> Router {
    ROUTE.served_by(credit_invoice, (database.clone(), billing), database)
}

/// What does not have to be paid.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({
    "reason": "Shorter than agreed",
    "amount": { "currency": "EUR", "minorUnits": 1190 },
    "lineIds": ["0199f7a2-6d02-7a11-8f0e-5b1c7a90d3f3"]
}))]
pub(crate) struct NewCreditNote {
    /// The reason, 1 to 200 characters. The patient reads it.
    #[schema(min_length = 1, max_length = 200)]
    reason: String,
    /// How much, with tax; all that is not credited yet if missing. It is divided among the lines in
    /// proportion to what is left of them.
    amount: Option<Money>,
    /// The lines that it is about; all if missing.
    #[schema(value_type = Option<Vec<Uuid>>, min_items = 1, max_items = 200)]
    line_ids: Option<Vec<Id>>,
}

/// Credit an invoice
///
/// The credit note has a number of its own series. What is credited beyond what is due was paid: it
/// becomes the patient's credit, which can be refunded.
#[utoipa::path(
    post, path = ROUTE.path(), tag = "invoices",
    params(("id" = Uuid, Path, description = "The invoice's id"), IfMatch, IdempotencyKey),
    request_body = NewCreditNote,
    responses(
        (status = 201, description = "The credit note", body = CreditNote,
         headers(("ETag" = String, description = "The new version of the invoice"))),
        (status = 400, description = "A field is invalid", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "The role may not credit invoices, or not this patient's: the record is restricted", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "There is no such invoice", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "It is not issued, or there is not so much left: see `reason`", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn credit_invoice(
    State((database, billing)): State<(PgPool, BillingClient)>,
    PathId(id): PathId,
    if_match: IfMatch,
    errand: Errand,
    Input(input): Input<NewCreditNote>,
) -> Result<Response, Problem> {
    let mut request = input.parse(id)?;
    request.etag = invoice::etag_of(id, &errand, &if_match, &database, &billing).await?;
    let credited = billing.credit_invoice(&errand, request).await;
    let credited = credited.map_err(problem)?;
    let invoice: Invoice = answer::required("invoice", credited.answer.invoice)?;
    let note = credited.answer.credit_note;
    let note = note.ok_or(BillingError::Unreadable("credit_note"));
    let note = note.and_then(CreditNote::try_from).map_err(problem)?;
    let answer = (StatusCode::CREATED, invoice.entity_tag(), Json(note));
    Ok(errand.done(credited.replayed, answer))
}

impl NewCreditNote {
    fn parse(self, invoice_id: Uuid) -> Result<v1::CreditInvoiceRequest, Problem> {
        let mut errors = InputErrors::default();
        let reason = errors.field("reason", text::reason(&self.reason));
        let amount = errors.field("amount", self.amount.map(amount::positive).transpose());
        let lines = errors.field("lineIds", lines(self.line_ids));
        let parsed = || {
            Some(v1::CreditInvoiceRequest {
                request_id: String::new(),
                invoice_id: invoice_id.to_string(),
                etag: String::new(),
                reason: reason?,
                amount: amount?.map(v1::Money::from),
                line_ids: lines?,
            })
        };
        parsed().ok_or_else(|| errors.into_problem())
    }
}

fn lines(ids: Option<Vec<Id>>) -> Result<Vec<String>, &'static str> {
    match ids {
        Some(ids) if !(1..=MOST_LINES).contains(&ids.len()) => {
            Err("Name 1 to 200 lines, or none to credit all of them")
        }
        ids => Ok(ids
            .into_iter()
            .flatten()
            .map(|Id(id)| id.to_string())
            .collect()),
    }
}
