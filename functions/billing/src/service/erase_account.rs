//! `EraseBillingAccount`: removes from the account of an erased patient who they were.
//!
//! Callers repeat the call until they get a response: an erased account stays as it is.

use contracts::billing::v1::{EraseBillingAccountRequest, EraseBillingAccountResponse};
use sqlx::PgPool;
use tonic::Status;

use crate::service::{
    account::{Account, AccountStatus, not_found, patient_id},
    database::failed,
};

pub(crate) async fn erase_account(
    database: &PgPool,
    request: &EraseBillingAccountRequest,
) -> Result<EraseBillingAccountResponse, Status> {
    let patient_id = patient_id(&request.patient_id)?;

    let account = sqlx::query_as!(
        Account,
        r#"UPDATE billing.account
           SET status = 'CLOSED', closed_at = coalesce(closed_at, now()), name = NULL, email = NULL
           WHERE patient_id = $1
           RETURNING id, patient_id, status AS "status: AccountStatus", created_at"#,
        patient_id,
    )
    .fetch_optional(database)
    .await
    .map_err(|error| failed(&error))?
    .ok_or_else(not_found)?;
    tracing::info!(accountId = %account.id, patientId = %patient_id, "account erased");
    Ok(EraseBillingAccountResponse {
        account: Some(account.into()),
    })
}
