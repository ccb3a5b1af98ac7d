//! The account of a patient who was registered a moment ago.
//!
//! The patients service has it opened once it has answered. Whoever read that answer may be faster, and
//! is not told that there is no account.

use api::Problem;
use billing_client::{Account, BilledTo, BillingClient, BillingError};
use contracts::{billing::v1::CreateBillingAccountRequest, billing_refusal::NO_ACCOUNT};
use prost::Message as _;
use sqlx::PgPool;
use uuid::Uuid;

use crate::problem::problem;

/// The answer to a call that needs the patient's account. If there is none, it is opened if it is to be,
/// and the call is repeated: the first one has changed nothing. Nothing is asked otherwise.
///
/// # Errors
/// Those of the call; or if the account cannot be opened now.
pub(crate) async fn with_account<T, Call>(
    database: &PgPool,
    billing: &BillingClient,
    patient: Uuid,
    call: impl Fn() -> Call,
) -> Result<T, Problem>
where
    Call: Future<Output = Result<T, BillingError>>,
{
    let answer = match call().await {
        Err(BillingError::Refused(refusal)) if refusal.reason.as_deref() == Some(NO_ACCOUNT) => {
            // Also if there is nothing to open any more: it may have been opened meanwhile.
            open(database, billing, patient).await?;
            call().await
        }
        answer => answer,
    };
    answer.map_err(problem)
}

/// The account of a patient who is not merged into another, which is opened if it is to be; none if
/// there is none.
///
/// # Errors
/// If the billing service or the database does not respond.
pub(crate) async fn account_of(
    database: &PgPool,
    billing: &BillingClient,
    patient: Uuid,
) -> Result<Option<Account>, Problem> {
    let account = billing.get_account(patient).await.map_err(problem)?;
    if account.is_some() {
        return Ok(account);
    }
    match open(database, billing, patient).await? {
        Some(account) => Ok(Some(account)),
        // It may have been opened meanwhile.
        None => billing.get_account(patient).await.map_err(problem),
    }
}

/// Opens the account if the patients service is about to have it opened. The message stays in its
/// outbox: whoever delivers it, before or after, finds the account open, and what comes after it in
/// the outbox is for this account all the same.
async fn open(
    database: &PgPool,
    billing: &BillingClient,
    patient: Uuid,
) -> Result<Option<Account>, Problem> {
    let message = sqlx::query_scalar!("SELECT patients.account_to_open($1)", patient)
        .fetch_one(database)
        .await?;
    let Some(message) = message else {
        return Ok(None);
    };
    let request = CreateBillingAccountRequest::decode(&*message).map_err(Problem::internal)?;
    let patient = request.patient_id.parse().map_err(Problem::internal)?;
    let billed_to = BilledTo {
        name: &request.name,
        email: &request.email,
        address: &request.address,
    };
    match billing.create_account(patient, &billed_to).await {
        Ok(account) => Ok(Some(account)),
        // There is none until somebody has looked at the message, which the relay reports.
        Err(BillingError::Refused(refusal)) => {
            tracing::warn!(cause = %refusal, patientId = %patient, "no account can be opened");
            Ok(None)
        }
        Err(error) => Err(problem(error)),
    }
}
