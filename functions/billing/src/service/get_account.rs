//! `GetBillingAccount`: the patient's account, or `NOT_FOUND`.

use contracts::billing::v1::{GetBillingAccountRequest, GetBillingAccountResponse};
use sqlx::PgPool;
use tonic::Status;

use crate::service::{
    account::{Account, AccountStatus, not_found, patient_id},
    database::failed,
};

pub(crate) async fn get_account(
    database: &PgPool,
    request: &GetBillingAccountRequest,
) -> Result<GetBillingAccountResponse, Status> {
    let patient_id = patient_id(&request.patient_id)?;

    let account = sqlx::query_as!(
        Account,
        r#"SELECT id, patient_id, status AS "status: AccountStatus", created_at
           FROM billing.account
           WHERE patient_id = $1"#,
        patient_id,
    )
    .fetch_optional(database)
    .await
    .map_err(|error| failed(&error))?
    .ok_or_else(not_found)?;
    Ok(GetBillingAccountResponse {
        account: Some(account.into()),
    })
}
