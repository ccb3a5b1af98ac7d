//! `CloseBillingAccount`: closes the account of a patient who was deleted.
//!
//! Callers repeat the call until they get a response: a closed account stays as it is.

use contracts::billing::v1::{CloseBillingAccountRequest, CloseBillingAccountResponse};
use sqlx::PgPool;
use tonic::Status;

use crate::service::{
    account::{Account, AccountStatus, not_found, patient_id},
    database::failed,
};

pub(crate) async fn close_account(
    database: &PgPool,
    request: &CloseBillingAccountRequest,
) -> Result<CloseBillingAccountResponse, Status> {
    let patient_id = patient_id(&request.patient_id)?;

    let account = sqlx::query_as!(
        Account,
        r#"UPDATE billing.account
           SET status = 'CLOSED', closed_at = coalesce(closed_at, now())
           WHERE patient_id = $1
           RETURNING id, patient_id, status AS "status: AccountStatus", created_at"#,
        patient_id,
    )
    .fetch_optional(database)
    .await
    .map_err(|error| failed(&error))?
    .ok_or_else(not_found)?;
    tracing::info!(accountId = %account.id, patientId = %patient_id, "account closed");
    Ok(CloseBillingAccountResponse {
        account: Some(account.into()),
    })
}
