//! `GET /api/patients/{id}/statement`: what happened on a patient's account.

use api::{
    Cursor, PathIdAndQuery, Problem, ProblemDocument, State,
    layers::{Permitted, Recorded, Repeatable},
};
use audit_trail::{About, Action, Subject, Trail};
use axum::{Json, Router};
use billing_client::BillingClient;
use identity::{Caller, Permission};
use money::Currency;
use patient_access::must_see;
use route::Route;
use serde::Deserialize;
use sqlx::PgPool;
use utoipa::IntoParams;

use super::statement::{Asked, Statement};
use crate::day::Day;

/// The route.
pub const ROUTE: Route<Permitted, Recorded, Repeatable> =
    Route::get("/api/patients/{id}/statement")
        .function("get-statement")
        .requires(Permission::ReadInvoices)
        .records(Action::ReadStatement)
        .about(About::PatientInPath);

/// Serves the route.
pub fn routes(database: PgPool, billing: BillingClient) -> Router {
    ROUTE.served_by(get_statement, (database.clone(), billing), database)
}

/// Which period, and which currency.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub(crate) struct Period {
    /// The first day; from the beginning if missing.
    #[param(value_type = Option<chrono::NaiveDate>)]
    from: Option<Day>,
    /// The last day; until today if missing.
    #[param(value_type = Option<chrono::NaiveDate>)]
    to: Option<Day>,
    /// The currency; the clinic's if missing.
    #[param(inline)]
    currency: Option<Currency>,
    /// `nextCursor` of the previous page; omit it for the first page.
    #[param(value_type = Option<String>)]
    cursor: Option<Cursor<String>>,
}

/// Get a patient's statement
///
/// What they owed before the period, everything that has changed it since, and what they owe after it.
/// Whatever is booked afterwards has the date on which it is booked, so the statement of a period that
/// is over stays as it is.
#[utoipa::path(
    get, path = ROUTE.path(), tag = "billing-reports",
    params(("id" = uuid::Uuid, Path, description = "The patient's id"), Period),
    responses(
        (status = 200, description = "The statement", body = Statement),
        (status = 400, description = "A parameter is invalid", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "The role may not see statements, or not this patient's: the record is restricted", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "The patient has no billing account", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn get_statement(
    caller: Caller,
    State((database, billing)): State<(PgPool, BillingClient)>,
    trail: Trail,
    PathIdAndQuery(patient_id, period): PathIdAndQuery<Period>,
) -> Result<Json<Statement>, Problem> {
    must_see(caller, patient_id, &database).await?;

    let asked = Asked {
        patient_id,
        from: period.from,
        to: period.to,
        currency: period.currency,
    };
    let (statement, _) = Statement::read((&database, &billing), asked, period.cursor).await?;
    trail
        .succeeded(&database, Subject::Patient(patient_id))
        .await?;
    Ok(Json(statement))
}
