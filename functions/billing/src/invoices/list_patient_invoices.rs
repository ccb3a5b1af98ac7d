//! `GET /api/patients/{id}/invoices`: what a patient was asked to pay.

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
use serde::Deserialize;
use sqlx::PgPool;
use utoipa::IntoParams;

use super::{invoice::InvoiceState, summary::InvoiceList};
use crate::{page, problem::problem};

/// The route.
pub const ROUTE: Route<Permitted, Recorded, Repeatable> = Route::get("/api/patients/{id}/invoices")
    .function("list-patient-invoices")
    .requires(Permission::ReadInvoices)
    .records(Action::ReadInvoices)
    .about(About::PatientInPath);

/// Serves the route.
pub fn routes(database: PgPool, billing: BillingClient) -> Router {
    ROUTE.served_by(list_patient_invoices, (database.clone(), billing), database)
}

/// Which invoices, and which page.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub(crate) struct Page {
    /// Only those in this state.
    #[param(inline)]
    state: Option<InvoiceState>,
    /// `nextCursor` of the previous page; omit it for the first page.
    #[param(value_type = Option<String>)]
    cursor: Option<Cursor<String>>,
    /// The number of invoices per page, 1 to 100.
    #[serde(default)]
    #[param(value_type = Option<u16>, minimum = 1, maximum = 100, default = 20)]
    limit: Limit,
}

/// List a patient's invoices
///
/// The newest first, without their lines, also those of records that were merged into this one.
#[utoipa::path(
    get, path = ROUTE.path(), tag = "invoices",
    params(("id" = uuid::Uuid, Path, description = "The patient's id"), Page),
    responses(
        (status = 200, description = "A page of invoices", body = InvoiceList),
        (status = 400, description = "A parameter is invalid", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "The role may not see invoices, or not this patient's: the record is restricted", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn list_patient_invoices(
    caller: Caller,
    State((database, billing)): State<(PgPool, BillingClient)>,
    trail: Trail,
    PathIdAndQuery(patient_id, page): PathIdAndQuery<Page>,
) -> Result<Json<InvoiceList>, Problem> {
    must_see(caller, patient_id, &database).await?;

    let state = page.state.map(InvoiceState::message).unwrap_or_default();
    let request = v1::ListInvoicesRequest {
        patient_id: patient_id.to_string(),
        state: state.into(),
        include_restricted: true,
        page_size: page::size(page.limit),
        page_token: page::token(page.cursor),
        ..v1::ListInvoicesRequest::default()
    };
    let listed = billing.list_invoices(request).await.map_err(problem)?;
    let list = InvoiceList::of(listed)?;
    trail
        .succeeded(&database, Subject::Patient(patient_id))
        .await?;
    Ok(Json(list))
}
