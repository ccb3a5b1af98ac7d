//! `POST /api/charges/{id}/cancellation`: cancels a charge.

use api::{
    OptionalInput, PathId, Problem, ProblemDocument, State,
    layers::{ByService, Permitted},
};
use audit_trail::{About, Action, Errand, ResourceType};
use axum::{Json, Router, response::Response};
use billing_client::BillingClient;
use contracts::billing::v1;
use idempotency::IdempotencyKey;
use identity::Permission;
use route::Route;
use serde::Deserialize;
use sqlx::PgPool;
use utoipa::ToSchema;

use super::charge::{self, Charge};
use crate::{access::must_see_owner, answer, problem::problem, text};

/// The route.
pub const ROUTE: Route<Permitted, ByService, ByService> =
    Route::post("/api/charges/{id}/cancellation")
        .function("cancel-charge")
        .requires(Permission::ManageCharges)
        .carried_out_by_service(Action::CancelCharge)
        .about(About::ResourceInPath(ResourceType::Charge));

/// Serves the route.
pub fn routes(database: PgPool, billing: BillingClient) -> Router {
    ROUTE.served_by(cancel_charge, (database.clone(), billing), database)
}

/// Why a charge is cancelled.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "reason": "It was done for somebody else" }))]
pub(crate) struct ChargeCancellation {
    /// The reason, up to 200 characters. It is kept on record.
    #[schema(max_length = 200)]
    reason: Option<String>,
}

/// Cancel a charge
///
/// It does not have to be paid. If it is on a draft of an invoice, it is taken off. On an invoice that
/// was issued, it can only be credited.
#[utoipa::path(
    post, path = ROUTE.path(), tag = "charges",
    params(("id" = uuid::Uuid, Path, description = "The charge's id"), IdempotencyKey),
    request_body = Option<ChargeCancellation>,
    responses(
        (status = 200, description = "It is cancelled", body = Charge),
        (status = 400, description = "The reason is too long", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "The role may not cancel charges, or not this patient's: the record is restricted", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "There is no such charge", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "It is on an invoice that was issued, or cancelled already: see `reason`", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn cancel_charge(
    State((database, billing)): State<(PgPool, BillingClient)>,
    PathId(id): PathId,
    errand: Errand,
    OptionalInput(input): OptionalInput<ChargeCancellation>,
) -> Result<Response, Problem> {
    let reason = text::if_any(input.reason.as_deref(), text::reason)
        .map_err(|error| Problem::invalid_field("reason", error.to_string()))?;
    let charge = charge::find(&billing, id).await?;
    must_see_owner(&errand, charge.resource(), charge.patient_id, &database).await?;

    let request = v1::CancelChargeRequest {
        request_id: String::new(),
        charge_id: id.to_string(),
        reason,
    };
    let cancelled = billing.cancel_charge(&errand, request).await;
    let cancelled = cancelled.map_err(problem)?;
    let charge: Charge = answer::required("charge", cancelled.answer.charge)?;
    Ok(errand.done(cancelled.replayed, Json(charge)))
}
