//! `GET /api/patients/{id}/billing-account`: the account through which a patient is billed, from
//! the billing service.
//!
//! An account is opened shortly after its patient was created, or by the first request for it. For a
//! patient who never existed, the response is 404. It is closed shortly after its patient was deleted, and
//! remains readable for those who may read it.

use api::{
    PathId, Problem, ProblemDocument, State,
    layers::{Permitted, Recorded, Repeatable},
};
use audit_trail::{About, Action, Resource, Subject, Trail};
use axum::{Json, Router};
use billing_client::{Account, AccountStatus, BillingClient};
use chrono::{DateTime, Utc};
use identity::{Caller, Permission};
use patient_access::must_see;
use route::Route;
use serde::Serialize;
use sqlx::PgPool;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::account::account_of;

/// The route.
pub const ROUTE: Route<Permitted, Recorded, Repeatable> =
    Route::get("/api/patients/{id}/billing-account")
        .function("get-billing-account")
        .requires(Permission::ReadBillingAccount)
        .records(Action::ReadBillingAccount)
        .about(About::PatientInPath);

/// Serves the route.
pub fn routes(database: PgPool, billing: BillingClient) -> Router {
    ROUTE.served_by(get_billing_account, (database.clone(), billing), database)
}

/// The account through which a patient is billed
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = json!({
    "accountId": "0199f7a2-6d02-7a11-8f0e-5b1c7a90d3e2",
    "patientId": "0199f7a2-6c1e-7c35-9b6c-0d2a54f3c1aa",
    "status": "ACTIVE",
    "createdAt": "2024-01-10T09:30:00.223456Z"
}))]
pub struct BillingAccount {
    /// Identifies the account; never changes.
    pub account_id: Uuid,
    /// The patient it belongs to: of a record that was merged into another, that one.
    pub patient_id: Uuid,
    /// Whether it is open.
    pub status: BillingAccountStatus,
    /// When it was opened.
    pub created_at: DateTime<Utc>,
}

/// The state of an account
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum BillingAccountStatus {
    /// It can be charged.
    Active,
    /// Its patient was deleted and not restored: nothing can be charged to it by hand. It can still be
    /// invoiced, paid and refunded.
    Closed,
}

/// Get a patient's billing account
///
/// It is there as soon as the patient is registered. Shortly after the patient was deleted, it becomes
/// `CLOSED` and can still be read. For a record that was merged into another, it is that one's account.
#[utoipa::path(
    get, path = ROUTE.path(), tag = "billing",
    params(("id" = Uuid, Path, description = "The patient's id")),
    responses(
        (status = 200, description = "The account", body = BillingAccount),
        (status = 403, description = "The role may not see billing accounts, or not this patient's: the record is restricted", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "The patient has no account", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 503, description = "The billing service cannot respond right now", body = ProblemDocument, content_type = "application/problem+json",
         headers(("Retry-After" = u32, description = "Seconds after which to try again"))),
    )
)]
pub(crate) async fn get_billing_account(
    caller: Caller,
    State((database, billing)): State<(PgPool, BillingClient)>,
    trail: Trail,
    PathId(patient_id): PathId,
) -> Result<Json<BillingAccount>, Problem> {
    must_see(caller, patient_id, &database).await?;

    let survivor = sqlx::query_scalar!(
        r#"SELECT patients.canonical($1) AS "survivor!""#,
        patient_id,
    )
    .fetch_one(&database)
    .await?;
    let account = account_of(&database, &billing, survivor)
        .await?
        .ok_or_else(|| Problem::not_found("Billing account not found"))?;

    let resource = Resource::billing_account(account.id);
    trail
        .succeeded(&database, Subject::ResourceOfPatient(resource, patient_id))
        .await?;
    Ok(Json(account.into()))
}

impl From<Account> for BillingAccount {
    fn from(account: Account) -> Self {
        Self {
            account_id: account.id,
            patient_id: account.patient_id,
            status: match account.status {
                AccountStatus::Active => BillingAccountStatus::Active,
                AccountStatus::Closed => BillingAccountStatus::Closed,
            },
            created_at: account.created_at,
        }
    }
}
