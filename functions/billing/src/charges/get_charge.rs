//! `GET /api/charges/{id}`: one charge.

use api::{
    PathId, Problem, ProblemDocument, State,
    layers::{Permitted, Recorded, Repeatable},
};
use audit_trail::{About, Action, ResourceType, Trail};
use axum::{Json, Router};
use billing_client::BillingClient;
use identity::{Caller, Permission};
use route::Route;
use sqlx::PgPool;

use super::charge::{self, Charge};
use crate::access::show;

/// The route.
pub const ROUTE: Route<Permitted, Recorded, Repeatable> = Route::get("/api/charges/{id}")
    .function("get-charge")
    .requires(Permission::ReadCharges)
    .records(Action::ReadCharges)
    .about(About::ResourceInPath(ResourceType::Charge));

/// Serves the route.
pub fn routes(database: PgPool, billing: BillingClient) -> Router {
    ROUTE.served_by(get_charge, (database.clone(), billing), database)
}

/// Get a charge
///
/// As it is now: whether it has a price, and the invoice that it is on.
#[utoipa::path(
    get, path = ROUTE.path(), tag = "charges",
    params(("id" = uuid::Uuid, Path, description = "The charge's id")),
    responses(
        (status = 200, description = "The charge", body = Charge),
        (status = 403, description = "The role may not see charges, or not this patient's: the record is restricted", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "There is no such charge", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn get_charge(
    caller: Caller,
    State((database, billing)): State<(PgPool, BillingClient)>,
    trail: Trail,
    PathId(id): PathId,
) -> Result<Json<Charge>, Problem> {
    let charge = charge::find(&billing, id).await?;
    show(
        caller,
        &trail,
        charge.resource(),
        charge.patient_id,
        &database,
    )
    .await?;
    Ok(Json(charge))
}
