//! `UpdateBillingAccount`: a patient has another name or address, and so invoices have.
//!
//! Callers repeat the call until they get a response, and an older one may come after a newer one:
//! the version of the patient says which is which.

use contracts::billing::v1::{UpdateBillingAccountRequest, UpdateBillingAccountResponse};
use fields::EmailAddress;
use sqlx::PgPool;
use tonic::Status;

use crate::service::{
    account::{Account, AccountStatus, not_found, patient_id},
    create_account::{address, email, name},
    database::failed,
};

pub(crate) async fn update_account(
    database: &PgPool,
    request: &UpdateBillingAccountRequest,
) -> Result<UpdateBillingAccountResponse, Status> {
    let patient_id = patient_id(&request.patient_id)?;
    let name = name(&request.name)?;
    let email = email(&request.email)?;
    let address = address(&request.address)?;
    let version = i64::try_from(request.patient_version)
        .map_err(|_| Status::invalid_argument("patient_version is too large"))?;

    let account = sqlx::query_as!(
        Account,
        r#"UPDATE billing.account
           SET name = $3, email = $4, address = $5, patient_version = $2
           WHERE patient_id = $1 AND patient_version < $2 AND erased_at IS NULL
           RETURNING id, patient_id, status AS "status: AccountStatus", created_at"#,
        patient_id,
        version,
        name,
        email.as_ref().map(EmailAddress::as_written),
        address,
    )
    .fetch_optional(database)
    .await
    .map_err(|error| failed(&error))?;
    let account = match account {
        Some(account) => {
            tracing::info!(accountId = %account.id, patientId = %patient_id, "account updated");
            account
        }
        None => sqlx::query_as!(
            Account,
            r#"SELECT id, patient_id, status AS "status: AccountStatus", created_at
               FROM billing.account
               WHERE patient_id = $1"#,
            patient_id,
        )
        .fetch_optional(database)
        .await
        .map_err(|error| failed(&error))?
        .ok_or_else(not_found)?,
    };
    Ok(UpdateBillingAccountResponse {
        account: Some(account.into()),
    })
}
