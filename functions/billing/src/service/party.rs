//! A patient as billing knows them: their accounts, under all ids that they have.

use contracts::billing::v1::BilledTo;
use sqlx::Postgres;
use store::Transaction;
use uuid::Uuid;

use crate::service::{account::AccountStatus, refused::no_account, work::Stopped};

/// The accounts of a patient, locked. A patient whose records were merged has several: what was
/// charged stays on the one where it is, and is theirs.
#[derive(Debug)]
pub(crate) struct Party {
    own: usize,
    accounts: Vec<LockedAccount>,
}

/// An account, locked.
#[derive(Debug)]
pub(crate) struct LockedAccount {
    pub(crate) id: Uuid,
    pub(crate) patient_id: Uuid,
    pub(crate) status: AccountStatus,
    name: Option<String>,
    email: Option<String>,
    address: Option<String>,
    is_theirs: bool,
    is_own: bool,
}

impl Party {
    /// Locks the accounts of a patient, and these others that are not theirs, in the order of their ids.
    ///
    /// # Errors
    /// `NOT_FOUND` if they have none, or if the database fails.
    pub(crate) async fn lock(
        transaction: &mut Transaction,
        patient: Uuid,
        others: &[Uuid],
    ) -> Result<Self, Stopped> {
        let mut accounts = sqlx::query_as!(
            LockedAccount,
            r#"SELECT id, patient_id, status AS "status: AccountStatus", name, email, address,
                      patient_id = ANY(patients.ids_of($1)) AS "is_theirs!",
                      patient_id = patients.canonical($1) AS "is_own!"
               FROM billing.account
               WHERE patient_id = ANY(patients.ids_of($1)) OR id = ANY($2)
               ORDER BY id
               FOR NO KEY UPDATE OF account"#,
            patient,
            others,
        )
        .fetch_all(transaction)
        .await?;
        accounts.retain(|account| account.is_theirs);
        if accounts.is_empty() {
            return Err(no_account().into());
        }
        let own = accounts.iter().position(|account| account.is_own);
        Ok(Self {
            own: own.unwrap_or(0),
            accounts,
        })
    }

    /// The account that new things go on.
    pub(crate) fn own(&self) -> &LockedAccount {
        &self.accounts[self.own]
    }

    /// The ids of all accounts.
    pub(crate) fn account_ids(&self) -> Vec<Uuid> {
        self.accounts.iter().map(|account| account.id).collect()
    }

    /// Whether this is one of their accounts.
    pub(crate) fn has(&self, account: Uuid) -> bool {
        self.accounts.iter().any(|theirs| theirs.id == account)
    }
}

impl LockedAccount {
    /// Whether mail can be sent to them.
    pub(crate) fn has_email(&self) -> bool {
        self.email.as_deref().is_some_and(|email| !email.is_empty())
    }

    /// Who invoices go to.
    pub(crate) fn billed_to(&self) -> BilledTo {
        BilledTo {
            name: self.name.clone().unwrap_or_default(),
            email: self.email.clone().unwrap_or_default(),
            address: self.address.clone().unwrap_or_default(),
        }
    }
}

/// The ids of all accounts of a patient, which is known by any of their ids. For those who only
/// look.
pub(crate) async fn accounts_of(
    database: impl sqlx::Executor<'_, Database = Postgres>,
    patient: Uuid,
) -> Result<Vec<Uuid>, sqlx::Error> {
    sqlx::query_scalar!(
        "SELECT id FROM billing.account WHERE patient_id = ANY(patients.ids_of($1)) ORDER BY id",
        patient
    )
    .fetch_all(database)
    .await
}

/// Who a patient is to billing now. For those who only look.
pub(crate) async fn billed_to_now(
    database: impl sqlx::Executor<'_, Database = Postgres>,
    accounts: &[Uuid],
    patient: Uuid,
) -> Result<BilledTo, sqlx::Error> {
    sqlx::query_as!(
        BilledTo,
        r#"SELECT coalesce(name, '') AS "name!", coalesce(email, '') AS "email!",
                  coalesce(address, '') AS "address!"
           FROM billing.account
           WHERE id = ANY($1)
           ORDER BY patient_id = patients.canonical($2) DESC, id
           LIMIT 1"#,
        accounts,
        patient,
    )
    .fetch_one(database)
    .await
}
