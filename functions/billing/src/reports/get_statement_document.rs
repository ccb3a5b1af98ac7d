//! `GET /api/patients/{id}/statement/document`: a statement as it is sent to the patient.

use api::{
    PathIdAndQuery, Problem, ProblemDocument, State,
    layers::{Permitted, Recorded, Repeatable},
};
use audit_trail::{About, Action, Subject, Trail};
use axum::{Router, response::Response};
use billing_client::BillingClient;
use identity::{Caller, Permission};
use money::Currency;
use patient_access::must_see;
use route::Route;
use serde::Deserialize;
use sqlx::PgPool;
use utoipa::IntoParams;

use super::statement::{Asked, Statement};
use crate::{
    day::Day,
    letterhead::Letterhead,
    pdf_file::{self, PdfFile},
};

/// The route.
pub const ROUTE: Route<Permitted, Recorded, Repeatable> =
    Route::get("/api/patients/{id}/statement/document")
        .function("get-statement-document")
        .requires(Permission::ReadInvoices)
        .records(Action::ReadStatement)
        .about(About::PatientInPath);

/// Serves the route.
pub fn routes(database: PgPool, billing: BillingClient, letterhead: Letterhead) -> Router {
    let with = (database.clone(), billing, letterhead);
    ROUTE.served_by(get_statement_document, with, database)
}

/// Which period, and which currency.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub(crate) struct Period {
    /// The first day; from the first line if missing.
    #[param(value_type = Option<chrono::NaiveDate>)]
    from: Option<Day>,
    /// The last day; until today if missing.
    #[param(value_type = Option<chrono::NaiveDate>)]
    to: Option<Day>,
    /// The currency; the clinic's if missing.
    #[param(inline)]
    currency: Option<Currency>,
}

/// Get a patient's statement as PDF
///
/// What `GET /api/patients/{id}/statement` says, with the clinic's letterhead and in its language, to
/// the patient as known now. Each page ends with the balance that the next one goes on with. It can be
/// archived (PDF/A).
#[utoipa::path(
    get, path = ROUTE.path(), tag = "billing-reports",
    params(("id" = uuid::Uuid, Path, description = "The patient's id"), Period),
    responses(
        (status = 200, description = "The document", body = PdfFile, content_type = "application/pdf",
         headers(
             ("Content-Disposition" = String, description = "That it can be shown, and what the file is called: by the last day of the period"),
         )),
        (status = 400, description = "A parameter is invalid, or the period has more than 10,000 lines", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "The role may not see statements, or not this patient's: the record is restricted", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "The patient has no billing account", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn get_statement_document(
    caller: Caller,
    State((database, billing, letterhead)): State<(PgPool, BillingClient, Letterhead)>,
    trail: Trail,
    PathIdAndQuery(patient_id, period): PathIdAndQuery<Period>,
) -> Result<Response, Problem> {
    must_see(caller, patient_id, &database).await?;

    let asked = Asked {
        patient_id,
        from: period.from,
        to: period.to,
        currency: period.currency,
    };
    let (statement, billed_to) = Statement::read((&database, &billing), asked, None).await?;
    statement
        .must_be_whole()
        .map_err(|fault| Problem::invalid_field("from", fault.to_string()))?;
    let printed = statement.printed(billed_to).pdf(&letterhead);
    let document = pdf_file::response(printed)?;
    trail
        .succeeded(&database, Subject::Patient(patient_id))
        .await?;
    Ok(document)
}
