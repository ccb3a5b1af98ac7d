//! `GET /api/refunds`: refunds of all patients, such as those that somebody has to decide about.

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
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use utoipa::{IntoParams, ToSchema};

use super::refund::{Refund, RefundState};
use crate::{page, patients, problem::problem};

/// The route.
pub const ROUTE: Route<Permitted, Recorded, Repeatable> = Route::get("/api/refunds")
    .function("list-refunds")
    .requires(Permission::ReadInvoices)
    .records(Action::ReadRefunds)
    .about(About::PatientInQuery);

/// Serves the route.
pub fn routes(database: PgPool, billing: BillingClient) -> Router {
    ROUTE.served_by(list_refunds, (database.clone(), billing), database)
}

/// Which refunds, and which page.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub(crate) struct Page {
    /// Only those in this state: `REQUESTED` is the list of those to decide about, `APPROVED` of those
    /// to pay out.
    #[param(inline)]
    state: Option<RefundState>,
    /// Only this patient's, also those of records that were merged into this one.
    #[param(value_type = Option<uuid::Uuid>)]
    patient_id: Option<Id>,
    /// `nextCursor` of the previous page; omit it for the first page.
    #[param(value_type = Option<String>)]
    cursor: Option<Cursor<String>>,
    /// The number of refunds per page, 1 to 100.
    #[serde(default)]
    #[param(value_type = Option<u16>, minimum = 1, maximum = 100, default = 20)]
    limit: Limit,
}

/// A page of refunds.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RefundList {
    refunds: Vec<Refund>,
    /// Send it as `cursor` to get the next page; null on the last one.
    #[schema(required)]
    next_cursor: Option<String>,
}

/// List refunds
///
/// The newest first. Those of restricted patients are listed only for callers who may see them.
#[utoipa::path(
    get, path = ROUTE.path(), tag = "refunds",
    params(Page),
    responses(
        (status = 200, description = "A page of refunds", body = RefundList),
        (status = 400, description = "A parameter is invalid", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "The role may not see refunds, or not this patient's: the record is restricted", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn list_refunds(
    caller: Caller,
    State((database, billing)): State<(PgPool, BillingClient)>,
    trail: Trail,
    QueryInput(page): QueryInput<Page>,
) -> Result<Json<RefundList>, Problem> {
    let patient = page.patient_id.map(|Id(patient)| patient);
    if let Some(patient) = patient {
        must_see(caller, patient, &database).await?;
    }

    let state = page.state.map(RefundState::message).unwrap_or_default();
    let request = v1::ListRefundsRequest {
        payment_id: String::new(),
        patient_id: patients::text_of(patient),
        state: state.into(),
        include_restricted: caller.role.may(Permission::SeeRestrictedPatients),
        page_size: page::size(page.limit),
        page_token: page::token(page.cursor),
    };
    let listed = billing.list_refunds(request).await.map_err(problem)?;
    let refunds = listed.refunds.into_iter().map(Refund::try_from);
    let refunds: Vec<Refund> = refunds.collect::<Result<_, _>>().map_err(problem)?;
    let patients = refunds.iter().map(|refund| refund.patient_id);
    let patients = patients::each_once(patients.chain(patient));
    trail
        .succeeded(&database, Subject::Patients(&patients))
        .await?;
    Ok(Json(RefundList {
        refunds,
        next_cursor: page::next_cursor(listed.next_page_token),
    }))
}
