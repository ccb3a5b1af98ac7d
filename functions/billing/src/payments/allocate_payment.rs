//! `POST /api/payments/{id}/allocations`: says which invoices the rest of a payment is for.

use api::{
    Id, IfMatch, Input, InputErrors, PathId, Problem, ProblemDocument, State,
    layers::{ByService, Permitted},
};
use audit_trail::{About, Action, Errand, ResourceType};
use axum::{Router, response::Response};
use billing_client::BillingClient;
use contracts::billing::v1;
use idempotency::IdempotencyKey;
use identity::Permission;
use money::Money;
use route::Route;
use serde::Deserialize;
use sqlx::PgPool;
use utoipa::ToSchema;

use super::payment::{self, Payment};
use crate::{
    amount::{self, InvalidAmount},
    problem::problem,
};

/// How many invoices a payment may be for.
const MOST_INVOICES: usize = 50;

/// The route.
pub const ROUTE: Route<Permitted, ByService, ByService> =
    Route::post("/api/payments/{id}/allocations")
        .function("allocate-payment")
        .requires(Permission::RecordPayments)
        .carried_out_by_service(Action::AllocatePayment)
        .about(About::ResourceInPath(ResourceType::Payment));

/// Serves the route.
pub fn routes(database: PgPool, billing: BillingClient) -> Router {
    ROUTE.served_by(allocate_payment, (database.clone(), billing), database)
}

/// What the rest of a payment is for.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "allocations": [{
        "invoiceId": "0199f7a2-6d02-7a11-8f0e-5b1c7a90d3fc",
        "amount": { "currency": "EUR", "minorUnits": 2265 }
    }]
}))]
pub(crate) struct Allocations {
    /// The invoices, each once.
    #[schema(min_items = 1, max_items = 50)]
    allocations: Vec<AllocationInput>,
}

/// What of a payment an invoice gets.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct AllocationInput {
    /// An issued invoice of the same patient, in the same currency.
    #[schema(value_type = Uuid)]
    invoice_id: Id,
    /// How much; as much as is left and due if missing.
    amount: Option<Money>,
}

/// Allocate a payment
///
/// What is left of it pays these invoices: all of them as asked, or none.
#[utoipa::path(
    post, path = ROUTE.path(), tag = "payments",
    params(("id" = Uuid, Path, description = "The payment's id"), IfMatch, IdempotencyKey),
    request_body = Allocations,
    responses(
        (status = 200, description = "The invoices are paid", body = Payment,
         headers(("ETag" = String, description = "The new version"))),
        (status = 400, description = "A field is invalid", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "The role may not say what payments are for, or not this patient's: the record is restricted", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "There is no such payment", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "There is not so much left, or not so much due: see `reason`", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn allocate_payment(
    State((database, billing)): State<(PgPool, BillingClient)>,
    PathId(id): PathId,
    if_match: IfMatch,
    errand: Errand,
    Input(input): Input<Allocations>,
) -> Result<Response, Problem> {
    let allocations = input.parse()?;
    let etag = payment::etag_of(id, &errand, &if_match, &database, &billing).await?;
    let request = v1::AllocatePaymentRequest {
        request_id: String::new(),
        payment_id: id.to_string(),
        etag,
        allocations,
    };
    let allocated = billing.allocate_payment(&errand, request).await;
    let allocated = allocated.map_err(problem)?;
    payment::changed(errand, allocated.replayed, allocated.answer.payment)
}

impl Allocations {
    fn parse(self) -> Result<Vec<v1::AllocationRequest>, Problem> {
        if !(1..=MOST_INVOICES).contains(&self.allocations.len()) {
            let detail = "Name 1 to 50 invoices";
            return Err(Problem::invalid_field("allocations", detail));
        }
        let mut errors = InputErrors::default();
        let mut allocations = Vec::new();
        for (place, allocation) in self.allocations.into_iter().enumerate() {
            let field = format!("allocations[{place}].amount");
            allocations.extend(errors.field(&field, allocation.parse()));
        }
        if errors.is_empty() {
            Ok(allocations)
        } else {
            Err(errors.into_problem())
        }
    }
}

impl AllocationInput {
    fn parse(self) -> Result<v1::AllocationRequest, InvalidAmount> {
        let amount = self.amount.map(amount::positive).transpose()?;
        Ok(v1::AllocationRequest {
            invoice_id: self.invoice_id.0.to_string(),
            amount: amount.map(v1::Money::from),
        })
    }
}
