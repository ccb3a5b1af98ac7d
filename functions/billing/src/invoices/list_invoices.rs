//! `GET /api/invoices`: what the clinic has asked its patients to pay.

use api::{
    Cursor, Id, Limit, Problem, ProblemDocument, QueryInput, State,
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
use crate::{day::Day, flag::Flag, page, patients, problem::problem};

/// The route.
pub const ROUTE: Route<Permitted, Recorded, Repeatable> = Route::get("/api/invoices")
    .function("list-invoices")
    .requires(Permission::ReadInvoices)
    .records(Action::ReadInvoices)
    .about(About::PatientInQuery);

/// Serves the route.
pub fn routes(database: PgPool, billing: BillingClient) -> Router {
    ROUTE.served_by(list_invoices, (database.clone(), billing), database)
}

/// Which invoices, and which page.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub(crate) struct Page {
    /// Only those in this state.
    #[param(inline)]
    state: Option<InvoiceState>,
    /// Only this patient's, also those of records that were merged into this one.
    #[param(value_type = Option<uuid::Uuid>)]
    patient_id: Option<Id>,
    /// Only those that were issued on this day or later: no drafts.
    #[param(value_type = Option<chrono::NaiveDate>)]
    from: Option<Day>,
    /// Only those that were issued on this day or earlier: no drafts.
    #[param(value_type = Option<chrono::NaiveDate>)]
    to: Option<Day>,
    /// `true`: only those of which something is due, and the day by which they had to be paid is over.
    #[param(value_type = Option<bool>)]
    overdue: Option<Flag>,
    /// `nextCursor` of the previous page; omit it for the first page.
    #[param(value_type = Option<String>)]
    cursor: Option<Cursor<String>>,
    /// The number of invoices per page, 1 to 100.
    #[serde(default)]
    #[param(value_type = Option<u16>, minimum = 1, maximum = 100, default = 20)]
    limit: Limit,
}

/// List invoices
///
/// The newest first, without their lines. Those of restricted patients are listed only for callers who
/// may see them.
#[utoipa::path(
    get, path = ROUTE.path(), tag = "invoices",
    params(Page),
    responses(
        (status = 200, description = "A page of invoices", body = InvoiceList),
        (status = 400, description = "A parameter is invalid", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "The role may not see invoices, or not this patient's: the record is restricted", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn list_invoices(
    caller: Caller,
    State((database, billing)): State<(PgPool, BillingClient)>,
    trail: Trail,
    QueryInput(page): QueryInput<Page>,
) -> Result<Json<InvoiceList>, Problem> {
    let patient = page.patient_id.map(|Id(patient)| patient);
    if let Some(patient) = patient {
        must_see(caller, patient, &database).await?;
    }

    let state = page.state.map(InvoiceState::message).unwrap_or_default();
    let request = v1::ListInvoicesRequest {
        patient_id: patients::text_of(patient),
        state: state.into(),
        overdue: page.overdue == Some(Flag::Yes),
        include_restricted: caller.role.may(Permission::SeeRestrictedPatients),
        page_size: page::size(page.limit),
        page_token: page::token(page.cursor),
        issued_from: Day::text_of(page.from),
        issued_to: Day::text_of(page.to),
    };
    let listed = billing.list_invoices(request).await.map_err(problem)?;
    let list = InvoiceList::of(listed)?;
    let patients = list.invoices.iter().map(|invoice| invoice.patient_id);
    let patients = patients::each_once(patients.chain(patient));
    trail
        .succeeded(&database, Subject::Patients(&patients))
        .await?;
    Ok(Json(list))
}
