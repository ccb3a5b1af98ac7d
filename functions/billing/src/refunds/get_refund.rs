//! `GET /api/refunds/{id}`: one refund.

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

use super::refund::{self, Refund};
use crate::access::show;

/// The route.
pub const ROUTE: Route<Permitted, Recorded, Repeatable> = Route::get("/api/refunds/{id}")
    .function("get-refund")
    .requires(Permission::ReadInvoices)
    .records(Action::ReadRefunds)
    .about(About::ResourceInPath(ResourceType::Refund));

/// Serves the route.
pub fn routes(database: PgPool, billing: BillingClient) -> Router {
    ROUTE.served_by(get_refund, (database.clone(), billing), database)
}

/// Get a refund
///
/// How far it is, and who has decided about it.
#[utoipa::path(
    get, path = ROUTE.path(), tag = "refunds",
    params(("id" = uuid::Uuid, Path, description = "The refund's id")),
    responses(
        (status = 200, description = "The refund", body = Refund,
         headers(("ETag" = String, description = "The version, for If-Match"))),
        (status = 403, description = "The role may not see refunds, or not this patient's: the record is restricted", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "There is no such refund", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn get_refund(
    caller: Caller,
    State((database, billing)): State<(PgPool, BillingClient)>,
    trail: Trail,
    PathId(id): PathId,
) -> Result<(EntityTag, Json<Refund>), Problem> {
    let refund = refund::find(&billing, id).await?;
    show(
        caller,
        &trail,
        refund.resource(),
        refund.patient_id,
        &database,
    )
    .await?;
    Ok((refund.entity_tag(), Json(refund)))
}
