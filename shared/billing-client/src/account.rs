//! A billing account, as the billing service returns it.

use chrono::{DateTime, Utc};
use contracts::billing::v1;
use uuid::Uuid;

use crate::BillingError;

/// An account that a patient is billed through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The account's own id.
    pub id: Uuid,
    /// The patient it belongs to.
    pub patient_id: Uuid,
    /// Whether it is open.
    pub status: AccountStatus,
    /// When it was opened.
    pub created_at: DateTime<Utc>,
}

/// Who invoices go to.
#[derive(Debug, Clone, Copy)]
pub struct BilledTo<'a> {
    /// The patient's name.
    pub name: &'a str,
    /// Their e-mail address; empty if they have none.
    pub email: &'a str,
    /// Their postal address, its lines separated by line feeds; empty if they have none.
    pub address: &'a str,
}

impl<'a> BilledTo<'a> {
    /// Somebody without a postal address.
    #[must_use]
    pub const fn of(name: &'a str, email: &'a str) -> Self {
        Self {
            name,
            email,
            address: "",
        }
    }
}

/// The state of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccountStatus {
    /// It can be charged.
    Active,
    /// Its patient was deleted: it cannot be charged any more.
    Closed,
}

impl AccountStatus {
    const fn from_message(status: v1::BillingAccountStatus) -> Option<Self> {
        match status {
            v1::BillingAccountStatus::Active => Some(Self::Active),
            v1::BillingAccountStatus::Closed => Some(Self::Closed),
            v1::BillingAccountStatus::Unspecified => None,
        }
    }
}

impl TryFrom<Option<v1::BillingAccount>> for Account {
    type Error = BillingError;

    fn try_from(account: Option<v1::BillingAccount>) -> Result<Self, Self::Error> {
        let account = account.ok_or(BillingError::Unreadable("account"))?;
        let created_at = account.created_at.and_then(|time| {
            DateTime::from_timestamp(time.seconds, u32::try_from(time.nanos).ok()?)
        });
        Ok(Self {
            id: readable("account_id", account.account_id.parse().ok())?,
            patient_id: readable("patient_id", account.patient_id.parse().ok())?,
            status: readable("status", AccountStatus::from_message(account.status()))?,
            created_at: readable("created_at", created_at)?,
        })
    }
}

fn readable<T>(field: &'static str, value: Option<T>) -> Result<T, BillingError> {
    value.ok_or(BillingError::Unreadable(field))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_incomplete_account_is_rejected() {
        let whole = v1::BillingAccount {
            account_id: Uuid::now_v7().to_string(),
            patient_id: Uuid::now_v7().to_string(),
            status: v1::BillingAccountStatus::Active.into(),
            created_at: Some(std::time::SystemTime::now().into()),
        };
        assert!(Account::try_from(Some(whole.clone())).is_ok());

        let unreadable = |account| match Account::try_from(account) {
            Err(BillingError::Unreadable(field)) => field,
            other => panic!("{other:?}"),
        };
        assert_eq!(unreadable(None), "account");
        let mut account = whole.clone();
        account.status = 99;
        assert_eq!(unreadable(Some(account)), "status");
        let mut account = whole;
        account.created_at = None;
        assert_eq!(unreadable(Some(account)), "created_at");
    }
}
