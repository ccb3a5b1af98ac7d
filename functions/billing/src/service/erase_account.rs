//! `EraseBillingAccount`: removes from the account of an erased patient who they were, and what
//! was written about them, such as the reasons for what was done. What was issued to them stays, as the law
//! wants it, and that requests were answered: whoever repeats one does nothing again, and gets no answer
//! any more.
//!
//! Callers repeat the call until they get a response: an erased account stays as it is.

use contracts::billing::v1::{EraseBillingAccountRequest, EraseBillingAccountResponse};
use sqlx::PgPool;
use store::Transaction;
use tonic::Status;
use uuid::Uuid;

use crate::service::{
    account::{Account, AccountStatus, not_found, patient_id},
    database::failed,
};

pub(crate) async fn erase_account(
    database: &PgPool,
    request: &EraseBillingAccountRequest,
) -> Result<EraseBillingAccountResponse, Status> {
    let patient_id = patient_id(&request.patient_id)?;
    let erased = erase(database, patient_id).await;
    let account = erased
        .map_err(|error| failed(&error))?
        .ok_or_else(not_found)?;
    tracing::info!(accountId = %account.id, patientId = %patient_id, "account erased");
    Ok(EraseBillingAccountResponse {
        account: Some(account.into()),
    })
}

/// The account first, in a statement of its own: whoever is changing something about it has
/// finished then, and what they have stored can be seen.
async fn erase(database: &PgPool, patient: Uuid) -> Result<Option<Account>, sqlx::Error> {
    let mut transaction = Transaction::begin(database).await?;
    let account = sqlx::query_as!(
        Account,
        r#"UPDATE billing.account
           SET status = 'CLOSED', closed_at = coalesce(closed_at, now()),
               erased_at = coalesce(erased_at, now()), name = NULL, email = NULL, address = NULL
           WHERE patient_id = $1
           RETURNING id, patient_id, status AS "status: AccountStatus", created_at"#,
        patient,
    )
    .fetch_optional(&mut transaction)
    .await?;
    if let Some(account) = &account {
        sqlx::query!(
            "UPDATE billing.request SET answer = NULL
             WHERE (account_id = $1 OR (other_accounts <> '{}' AND other_accounts @> ARRAY[$1]))
                 AND answer IS NOT NULL",
            account.id
        )
        .execute(&mut transaction)
        .await?;
        sqlx::query!(
            "UPDATE billing.delivery SET document = NULL
             WHERE (account_id = $1 OR (other_accounts <> '{}' AND other_accounts @> ARRAY[$1]))
                 AND document IS NOT NULL",
            account.id
        )
        .execute(&mut transaction)
        .await?;
        erase_texts(&mut transaction, account.id).await?;
    }
    transaction.commit().await?;
    Ok(account)
}

/// What staff have written about the patient. Things are read without it from now on, so that they get
/// another version. References stay: they say which transfer or slip a booking is about, and the same one
/// is never booked again.
async fn erase_texts(transaction: &mut Transaction, account: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE billing.charge SET note = NULL, cancel_reason = NULL
         WHERE account_id = $1 AND num_nonnulls(note, cancel_reason) > 0",
        account
    )
    .execute(&mut *transaction)
    .await?;
    sqlx::query!(
        "UPDATE billing.invoice SET reason = NULL, version = version + 1
         WHERE account_id = $1 AND (reason IS NOT NULL OR EXISTS (
             SELECT FROM billing.write_off
             WHERE write_off.invoice_id = invoice.id AND write_off.state = 'REQUESTED'
                 AND write_off.reason IS NOT NULL
         ) OR EXISTS (
             SELECT FROM billing.credit_note
             WHERE credit_note.invoice_id = invoice.id AND credit_note.reason IS NOT NULL))",
        account
    )
    .execute(&mut *transaction)
    .await?;
    sqlx::query!("SELECT billing.erase_credit_reasons($1)", account)
        .execute(&mut *transaction)
        .await?;
    sqlx::query!(
        "UPDATE billing.write_off SET reason = NULL, rejection_reason = NULL
         FROM billing.invoice
         WHERE invoice.id = write_off.invoice_id AND invoice.account_id = $1
             AND num_nonnulls(write_off.reason, write_off.rejection_reason) > 0",
        account
    )
    .execute(&mut *transaction)
    .await?;
    sqlx::query!(
        "UPDATE billing.payment SET reverse_reason = NULL, version = version + 1
         WHERE account_id = $1 AND reverse_reason IS NOT NULL",
        account
    )
    .execute(&mut *transaction)
    .await?;
    sqlx::query!(
        "UPDATE billing.refund
         SET reason = NULL, rejection_reason = NULL, version = refund.version + 1
         FROM billing.payment
         WHERE payment.id = refund.payment_id AND payment.account_id = $1
             AND num_nonnulls(refund.reason, refund.rejection_reason) > 0",
        account
    )
    .execute(&mut *transaction)
    .await?;
    Ok(())
}
