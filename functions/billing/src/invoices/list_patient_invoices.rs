//! `GET /api/patients/{id}/invoices`: what a patient was asked to pay.

use api::{
    Cursor, Limit, PathIdAndQuery, Problem, ProblemDocument, State,
    layers::{Permitted, Recorded, Repeatable},
};
use audit_trail::{About, Action, Subject, Trail};
use axum::{Json, Router};
use billing_client::{BillingClient, BillingError};
use chrono::{DateTime, NaiveDate, Utc};
use contracts::billing::v1;
use identity::{Caller, Permission};
use money::Money;
use patient_access::must_see;
use route::Route;
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::invoice::InvoiceState;
use crate::{answer, page, problem::problem};

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

/// A page of invoices.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct InvoiceList {
    invoices: Vec<InvoiceSummary>,
    /// Send it as `cursor` to get the next page; null on the last one.
    #[schema(required)]
    next_cursor: Option<String>,
}

/// An invoice without its lines
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = json!({
    "id": "0199f7a2-6d02-7a11-8f0e-5b1c7a90d3f2",
    "patientId": "0199f7a2-6c1e-7c35-9b6c-0d2a54f3c1aa",
    "state": "ISSUED",
    "number": "2027-000017",
    "total": { "currency": "EUR", "minorUnits": 7735 },
    "due": { "currency": "EUR", "minorUnits": 5735 },
    "issueDate": "2027-01-15",
    "dueDate": "2027-02-14",
    "overdue": false,
    "createdAt": "2027-01-15T09:00:00.223456Z"
}))]
pub(crate) struct InvoiceSummary {
    /// Identifies the invoice; never changes.
    id: Uuid,
    /// Whose it is.
    patient_id: Uuid,
    /// What became of it.
    state: InvoiceState,
    /// Its number; null for a draft.
    #[schema(required)]
    number: Option<String>,
    /// What it is about, with tax.
    total: Money,
    /// What still has to be paid.
    due: Money,
    /// The day on which it was issued; null for a draft.
    #[schema(required)]
    issue_date: Option<NaiveDate>,
    /// The day by which it has to be paid; null for a draft.
    #[schema(required)]
    due_date: Option<NaiveDate>,
    /// Whether something is due, and that day is over.
    overdue: bool,
    /// When it was drafted.
    created_at: DateTime<Utc>,
}

/// List a patient's invoices
///
/// The newest first, without their lines, also those of records that were merged into this one.
#[utoipa::path(
    get, path = ROUTE.path(), tag = "invoices",
    params(("id" = Uuid, Path, description = "The patient's id"), Page),
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
        overdue: false,
        include_restricted: true,
        page_size: page::size(page.limit),
        page_token: page::token(page.cursor),
    };
    let listed = billing.list_invoices(request).await.map_err(problem)?;
    let invoices = listed.invoices.into_iter().map(InvoiceSummary::try_from);
    let list = InvoiceList {
        invoices: invoices.collect::<Result<_, _>>().map_err(problem)?,
        next_cursor: page::next_cursor(listed.next_page_token),
    };
    trail
        .succeeded(&database, Subject::Patient(patient_id))
        .await?;
    Ok(Json(list))
}

impl TryFrom<v1::Invoice> for InvoiceSummary {
    type Error = BillingError;

    fn try_from(invoice: v1::Invoice) -> Result<Self, BillingError> {
        let state = InvoiceState::of(invoice.state());
        Ok(Self {
            id: answer::id("invoice_id", &invoice.invoice_id)?,
            patient_id: answer::id("patient_id", &invoice.patient_id)?,
            state: state.ok_or(BillingError::Unreadable("state"))?,
            number: answer::text_if_any(invoice.number),
            total: answer::money("total", invoice.total)?,
            due: answer::money("due", invoice.due)?,
            issue_date: answer::day_if_any("issue_date", &invoice.issue_date)?,
            due_date: answer::day_if_any("due_date", &invoice.due_date)?,
            overdue: invoice.overdue,
            created_at: answer::time("create_time", invoice.create_time)?,
        })
    }
}
