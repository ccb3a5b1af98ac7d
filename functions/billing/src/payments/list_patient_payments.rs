//! `GET /api/patients/{id}/payments`: what a patient has paid.

use api::{
    Cursor, Limit, PathIdAndQuery, Problem, ProblemDocument, State,
    layers::{Permitted, Recorded, Repeatable},
};
use audit_trail::{About, Action, Subject, Trail};
use axum::{Json, Router};
use billing_client::BillingClient;
use contracts::billing::v1;
use identity::{Caller, Permission};
use patient_access::must_see;
use route::Route;
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use utoipa::{IntoParams, ToSchema};

use super::payment::Payment;
use crate::{page, problem::problem};

/// The route.
pub const ROUTE: Route<Permitted, Recorded, Repeatable> = Route::get("/api/patients/{id}/payments")
    .function("list-patient-payments")
    .requires(Permission::ReadInvoices)
    .records(Action::ReadPayments)
    .about(About::PatientInPath);

/// Serves the route.
pub fn routes(database: PgPool, billing: BillingClient) -> Router {
    ROUTE.served_by(list_patient_payments, (database.clone(), billing), database)
}

/// Which page.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub(crate) struct Page {
    /// `nextCursor` of the previous page; omit it for the first page.
    #[param(value_type = Option<String>)]
    cursor: Option<Cursor<String>>,
    /// The number of payments per page, 1 to 100.
    #[serde(default)]
    #[param(value_type = Option<u16>, minimum = 1, maximum = 100, default = 20)]
    limit: Limit,
}

/// A page of payments.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PaymentList {
    payments: Vec<Payment>,
    /// Send it as `cursor` to get the next page; null on the last one.
    #[schema(required)]
    next_cursor: Option<String>,
}

/// List a patient's payments
///
/// The newest first, also those of records that were merged into this one.
#[utoipa::path(
    get, path = ROUTE.path(), tag = "payments",
    params(("id" = uuid::Uuid, Path, description = "The patient's id"), Page),
    responses(
        (status = 200, description = "A page of payments", body = PaymentList),
        (status = 400, description = "A parameter is invalid", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "The role may not see payments, or not this patient's: the record is restricted", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn list_patient_payments(
    caller: Caller,
    State((database, billing)): State<(PgPool, BillingClient)>,
    trail: Trail,
    PathIdAndQuery(patient_id, page): PathIdAndQuery<Page>,
) -> Result<Json<PaymentList>, Problem> {
    must_see(caller, patient_id, &database).await?;

    let request = v1::ListPaymentsRequest {
        patient_id: patient_id.to_string(),
        include_restricted: true,
        page_size: page::size(page.limit),
        page_token: page::token(page.cursor),
    };
    let listed = billing.list_payments(request).await.map_err(problem)?;
    let payments = listed.payments.into_iter().map(Payment::try_from);
    let list = PaymentList {
        payments: payments.collect::<Result<_, _>>().map_err(problem)?,
        next_cursor: page::next_cursor(listed.next_page_token),
    };
    trail
        .succeeded(&database, Subject::Patient(patient_id))
        .await?;
    Ok(Json(list))
}
