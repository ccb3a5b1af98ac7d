//! An account as it is stored and as it is returned.

use chrono::{DateTime, Utc};
use contracts::billing::v1::{BillingAccount, BillingAccountStatus};
use tonic::Status;
use uuid::Uuid;

/// The state of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "UPPERCASE")]
pub(crate) enum AccountStatus {
    Active,
    Closed,
}

/// A row of `billing.account`, without the patient's name and e-mail address.
#[derive(Debug)]
pub(crate) struct Account {
    pub(crate) id: Uuid,
    pub(crate) patient_id: Uuid,
    pub(crate) status: AccountStatus,
    pub(crate) created_at: DateTime<Utc>,
}

impl From<Account> for BillingAccount {
    fn from(account: Account) -> Self {
        let status = match account.status {
            AccountStatus::Active => BillingAccountStatus::Active,
            AccountStatus::Closed => BillingAccountStatus::Closed,
        };
        Self {
            account_id: account.id.to_string(),
            patient_id: account.patient_id.to_string(),
            status: status.into(),
            created_at: Some(std::time::SystemTime::from(account.created_at).into()),
        }
    }
}

/// No account has been opened for the patient.
pub(crate) fn not_found() -> Status {
    Status::not_found("the patient has no billing account")
}

/// The id of a patient in a request.
pub(crate) fn patient_id(text: &str) -> Result<Uuid, Status> {
    text.parse()
        .map_err(|_| Status::invalid_argument("patient_id must be a UUID"))
}
