//! `GET /api/payments/{id}`: one payment.

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

use super::payment::{self, Payment};
use crate::access::show;

/// The route.
pub const ROUTE: Route<Permitted, Recorded, Repeatable> = Route::get("/api/payments/{id}")
    .function("get-payment")
    .requires(Permission::ReadInvoices)
    .records(Action::ReadPayments)
    .about(About::ResourceInPath(ResourceType::Payment));

/// Serves the route.
pub fn routes(database: PgPool, billing: BillingClient) -> Router {
    ROUTE.served_by(get_payment, (database.clone(), billing), database)
}

/// Get a payment
///
/// With what it is for, and what is left of it.
#[utoipa::path(
    get, path = ROUTE.path(), tag = "payments",
    params(("id" = uuid::Uuid, Path, description = "The payment's id")),
    responses(
        (status = 200, description = "The payment", body = Payment,
         headers(("ETag" = String, description = "The version, for If-Match"))),
        (status = 403, description = "The role may not see payments, or not this patient's: the record is restricted", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "There is no such payment", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn get_payment(
    caller: Caller,
    State((database, billing)): State<(PgPool, BillingClient)>,
    trail: Trail,
    PathId(id): PathId,
) -> Result<(EntityTag, Json<Payment>), Problem> {
    let payment = payment::find(&billing, id).await?;
    show(
        caller,
        &trail,
        payment.resource(),
        payment.patient_id,
        &database,
    )
    .await?;
    Ok((payment.entity_tag(), Json(payment)))
}
