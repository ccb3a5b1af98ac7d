//! `GET /api/charges`: charges of all patients, such as those that wait for a price.

use api::{
    Cursor, Limit, Problem, ProblemDocument, QueryInput, State,
    layers::{Permitted, Recorded, Repeatable},
};
use audit_trail::{Action, Subject, Trail};
use axum::{Json, Router};
use billing_client::BillingClient;
use contracts::billing::v1;
use identity::{Caller, Permission};
use route::Route;
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use utoipa::{IntoParams, ToSchema};

use super::charge::{Charge, ChargeState};
use crate::{flag::Flag, page, patients, problem::problem};

/// The route.
pub const ROUTE: Route<Permitted, Recorded, Repeatable> = Route::get("/api/charges")
    .function("list-charges")
    .requires(Permission::ReadCharges)
    .records(Action::ReadCharges);

/// Serves the route.
pub fn routes(database: PgPool, billing: BillingClient) -> Router {
    ROUTE.served_by(list_charges, (database.clone(), billing), database)
}

/// Which charges, and which page.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub(crate) struct Page {
    /// Only those in this state: `UNPRICED` is the list of those that somebody has to set a price for.
    #[param(inline)]
    state: Option<ChargeState>,
    /// `true`: only those that somebody has to credit, because their appointment has been corrected
    /// since.
    #[param(value_type = Option<bool>)]
    needs_credit_note: Option<Flag>,
    /// `nextCursor` of the previous page; omit it for the first page.
    #[param(value_type = Option<String>)]
    cursor: Option<Cursor<String>>,
    /// The number of charges per page, 1 to 100.
    #[serde(default)]
    #[param(value_type = Option<u16>, minimum = 1, maximum = 100, default = 20)]
    limit: Limit,
}

/// A page of charges.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ChargeList {
    pub(super) charges: Vec<Charge>,
    /// Send it as `cursor` to get the next page; null on the last one.
    #[schema(required)]
    pub(super) next_cursor: Option<String>,
}

/// List charges
///
/// The newest first. Those of restricted patients are listed only for callers who may see them.
#[utoipa::path(
    get, path = ROUTE.path(), tag = "charges",
    params(Page),
    responses(
        (status = 200, description = "A page of charges", body = ChargeList),
        (status = 400, description = "A parameter is invalid", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn list_charges(
    caller: Caller,
    State((database, billing)): State<(PgPool, BillingClient)>,
    trail: Trail,
    QueryInput(page): QueryInput<Page>,
) -> Result<Json<ChargeList>, Problem> {
    let request = v1::ListChargesRequest {
        patient_id: String::new(),
        state: page
            .state
            .map(|state| state.message().into())
            .unwrap_or_default(),
        needs_credit_note: page.needs_credit_note == Some(Flag::Yes),
        include_restricted: caller.role.may(Permission::SeeRestrictedPatients),
        page_size: page::size(page.limit),
        page_token: page::token(page.cursor),
    };
    let list = ChargeList::of(billing.list_charges(request).await.map_err(problem)?)?;
    let patients = patients::each_once(list.charges.iter().map(|charge| charge.patient_id));
    trail
        .succeeded(&database, Subject::Patients(&patients))
        .await?;
    Ok(Json(list))
}

impl ChargeList {
    pub(super) fn of(listed: v1::ListChargesResponse) -> Result<Self, Problem> {
        let charges = listed.charges.into_iter().map(Charge::try_from);
        Ok(Self {
            charges: charges.collect::<Result<_, _>>().map_err(problem)?,
            next_cursor: page::next_cursor(listed.next_page_token),
        })
    }
}
