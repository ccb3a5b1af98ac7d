//! A patient as billing knows them: their accounts, under all ids that they have. And whose accounts a
//! change touches beside those.

use contracts::billing::v1::BilledTo;
use sqlx::Postgres;
use store::Transaction;
use tonic::Status;
use uuid::Uuid;

use crate::service::{account::AccountStatus, refused::no_account, work::Stopped};

/// The accounts of a patient, locked. A patient whose records were merged has several: what was
/// charged stays on the one where it is, and is theirs.
#[derive(Debug)]
pub(crate) struct Party {
    /// Which of them is on the record that has remained, once it is open.
    own: Option<usize>,
    accounts: Vec<LockedAccount>,
    locked: Vec<Uuid>,
}

/// What a change is about, besides a patient.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Matter {
    Charge(Uuid),
    /// The charges of an appointment, which is with this patient now.
    Appointment {
        id: Uuid,
        patient: Uuid,
    },
    Invoice(Uuid),
    Payment(Uuid),
    Refund(Uuid),
}

/// Whose accounts a change about something touches.
///
/// Two records of a patient may have paid for each other, or be on one invoice. When their merge is
/// undone, they are two patients, and this stays.
#[derive(Debug)]
pub(crate) struct Touched {
    pub(crate) patient: Uuid,
    /// Accounts that may not be the patient's.
    pub(crate) others: Vec<Uuid>,
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
    /// Locks the accounts of a patient, and others, in the order of their ids.
    ///
    /// # Errors
    /// `NOT_FOUND` if the patient has none, or if the database fails.
    pub(crate) async fn lock(
        transaction: &mut Transaction,
        patient: Uuid,
        others: &[Uuid],
    ) -> Result<Self, Stopped> {
        let accounts = sqlx::query_as!(
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
        let locked = accounts.iter().map(|account| account.id).collect();
        let theirs = accounts.into_iter().filter(|account| account.is_theirs);
        let accounts: Vec<LockedAccount> = theirs.collect();
        if accounts.is_empty() {
            return Err(no_account().into());
        }
        let own = accounts.iter().position(|account| account.is_own);
        Ok(Self {
            own,
            accounts,
            locked,
        })
    }

    /// The ids of all accounts that are locked, whoever's they are.
    pub(crate) fn locked(&self) -> &[Uuid] {
        &self.locked
    }

    /// The account that new things go on, and whose name invoices have. What is there already can be
    /// dealt with without it.
    ///
    /// # Errors
    /// `NOT_FOUND` if it is not open yet, although another record of the patient has one: when their
    /// merge is undone, what is on that one is somebody else's.
    pub(crate) fn own(&self) -> Result<&LockedAccount, Status> {
        let own = self.own.and_then(|place| self.accounts.get(place));
        own.ok_or_else(no_account)
    }

    /// The account that the answer to a request is kept with: one of theirs.
    pub(crate) fn answered(&self) -> Option<Uuid> {
        let account = self.own().ok().or(self.accounts.first())?;
        Some(account.id)
    }

    /// The ids of all accounts of the patient.
    pub(crate) fn account_ids(&self) -> Vec<Uuid> {
        self.accounts.iter().map(|account| account.id).collect()
    }

    /// Whether this is one of their accounts.
    pub(crate) fn has(&self, account: Uuid) -> bool {
        self.accounts.iter().any(|theirs| theirs.id == account)
    }
}

impl Matter {
    /// Whose accounts it touches; none if there is no such thing.
    pub(crate) async fn touches(
        self,
        transaction: &mut Transaction,
    ) -> Result<Option<Touched>, sqlx::Error> {
        match self {
            Self::Charge(charge) => {
                sqlx::query_as!(
                    Touched,
                    r#"SELECT account.patient_id AS patient, ARRAY(
                           SELECT invoice.account_id
                           FROM billing.invoice_line AS line
                           JOIN billing.invoice ON invoice.id = line.invoice_id
                           WHERE line.charge_id = charge.id
                       ) AS "others!"
                       FROM billing.charge JOIN billing.account ON account.id = charge.account_id
                       WHERE charge.id = $1"#,
                    charge,
                )
                .fetch_optional(transaction)
                .await
            }
            Self::Appointment { id, patient } => {
                let others = sqlx::query_scalar!(
                    r#"SELECT unnest(ARRAY[charge.account_id, invoice.account_id]) AS "account?"
                       FROM billing.charge
                       LEFT JOIN billing.invoice_line AS line ON line.charge_id = charge.id
                       LEFT JOIN billing.invoice ON invoice.id = line.invoice_id
                       WHERE charge.source_type = 'APPOINTMENT' AND charge.source_id = $1"#,
                    id,
                )
                .fetch_all(transaction)
                .await?;
                let others = others.into_iter().flatten().collect();
                Ok(Some(Touched { patient, others }))
            }
            Self::Invoice(invoice) => {
                sqlx::query_as!(
                    Touched,
                    r#"SELECT account.patient_id AS patient, ARRAY(
                           SELECT payment.account_id
                           FROM billing.allocation
                           JOIN billing.payment ON payment.id = allocation.payment_id
                           WHERE allocation.invoice_id = invoice.id
                           UNION
                           SELECT charge.account_id
                           FROM billing.invoice_line AS line
                           JOIN billing.charge ON charge.id = line.charge_id
                           WHERE line.invoice_id = invoice.id
                       ) AS "others!"
                       FROM billing.invoice JOIN billing.account ON account.id = invoice.account_id
                       WHERE invoice.id = $1"#,
                    invoice,
                )
                .fetch_optional(transaction)
                .await
            }
            Self::Payment(payment) => {
                sqlx::query_as!(
                    Touched,
                    r#"SELECT account.patient_id AS patient, ARRAY(
                           SELECT invoice.account_id
                           FROM billing.allocation
                           JOIN billing.invoice ON invoice.id = allocation.invoice_id
                           WHERE allocation.payment_id = payment.id
                       ) AS "others!"
                       FROM billing.payment JOIN billing.account ON account.id = payment.account_id
                       WHERE payment.id = $1"#,
                    payment,
                )
                .fetch_optional(transaction)
                .await
            }
            Self::Refund(refund) => {
                sqlx::query_as!(
                    Touched,
                    r#"SELECT account.patient_id AS patient, '{}'::uuid[] AS "others!"
                       FROM billing.refund
                       JOIN billing.payment ON payment.id = refund.payment_id
                       JOIN billing.account ON account.id = payment.account_id
                       WHERE refund.id = $1"#,
                    refund,
                )
                .fetch_optional(transaction)
                .await
            }
        }
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

/// Who a patient is to billing now; none if their account is not open yet. For those who only look.
pub(crate) async fn billed_to_now(
    database: impl sqlx::Executor<'_, Database = Postgres>,
    patient: Uuid,
) -> Result<Option<BilledTo>, sqlx::Error> {
    sqlx::query_as!(
        BilledTo,
        r#"SELECT coalesce(name, '') AS "name!", coalesce(email, '') AS "email!",
                  coalesce(address, '') AS "address!"
           FROM billing.account
           WHERE patient_id = patients.canonical($1)"#,
        patient,
    )
    .fetch_optional(database)
    .await
}
