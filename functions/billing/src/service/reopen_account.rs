//! `ReopenBillingAccount`: opens the account of a patient who was restored.
//!
//! Callers repeat the call until they get a response: an open account stays as it is.

use contracts::billing::v1::{ReopenBillingAccountRequest, ReopenBillingAccountResponse};
use sqlx::PgPool;
use tonic::Status;

use crate::service::{
    account::{Account, AccountStatus, not_found, patient_id},
    database::failed,
};

pub(crate) async fn reopen_account(
    database: &PgPool,
    request: &ReopenBillingAccountRequest,
) -> Result<ReopenBillingAccountResponse, Status> {
    let patient_id = patient_id(&request.patient_id)?;

    let account = sqlx::query_as!(
        Account,
        r#"UPDATE billing.account
           SET status = 'ACTIVE', closed_at = NULL
           WHERE patient_id = $1
           RETURNING id, patient_id, status AS "status: AccountStatus", created_at"#,
        patient_id,
    )
    .fetch_optional(database)
    .await
    .map_err(|error| failed(&error))?
    .ok_or_else(not_found)?;
    tracing::info!(accountId = %account.id, patientId = %patient_id, "account reopened");
    Ok(ReopenBillingAccountResponse {
        account: Some(account.into()),
    })
}
