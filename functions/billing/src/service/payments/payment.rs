//! A payment as it is stored and as it is returned.

use api::RefusalReason;
use audit_trail::{Resource, ResourceType};
use chrono::{DateTime, NaiveDate, Utc};
use contracts::billing::v1::{Allocation, Payment, PaymentMethod, PaymentState};
use store::Transaction;
use tonic::Status;
use uuid::Uuid;

use crate::service::{
    input::{check_etag, etag},
    method::Method,
    party::{Matter, Party},
    refused::{not_found, not_now},
    wire,
    work::{Stopped, Work},
};

/// The state of a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "UPPERCASE")]
pub(crate) enum State {
    Recorded,
    Reversed,
}

impl From<State> for PaymentState {
    fn from(state: State) -> Self {
        match state {
            State::Recorded => Self::Recorded,
            State::Reversed => Self::Reversed,
        }
    }
}

/// A row of `billing.payment`, with the patient.
#[derive(Debug, Clone)]
pub(crate) struct StoredPayment {
    pub(crate) id: Uuid,
    pub(crate) account_id: Uuid,
    pub(crate) patient_id: Uuid,
    pub(crate) version: i64,
    pub(crate) state: State,
    pub(crate) method: Method,
    pub(crate) currency: String,
    pub(crate) amount: i64,
    pub(crate) reference: Option<String>,
    pub(crate) payment_date: NaiveDate,
    pub(crate) allocated: i64,
    pub(crate) refunded: i64,
    pub(crate) credit: i64,
    pub(crate) recorded_by: Option<Uuid>,
    pub(crate) reversed_by: Option<Uuid>,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) reversed_at: Option<DateTime<Utc>>,
    pub(crate) reverse_reason: Option<String>,
}

/// The payments with these ids, the newest first.
async fn find(
    transaction: &mut Transaction,
    ids: &[Uuid],
) -> Result<Vec<StoredPayment>, sqlx::Error> {
    sqlx::query_as!(
        StoredPayment,
        r#"SELECT payment.id, payment.account_id, account.patient_id, payment.version,
                  payment.state AS "state: State", payment.method AS "method: Method",
                  payment.currency, payment.amount, payment.reference, payment.payment_date,
                  payment.allocated, payment.refunded, payment.credit, payment.recorded_by,
                  payment.reversed_by, payment.created_at, payment.reversed_at,
                  payment.reverse_reason
           FROM billing.payment
           JOIN billing.account ON account.id = payment.account_id
           WHERE payment.id = ANY($1)
           ORDER BY payment.id DESC"#,
        ids,
    )
    .fetch_all(transaction)
    .await
}

/// The payments with these ids as they are returned, the newest first, with their allocations.
pub(super) async fn whole(
    transaction: &mut Transaction,
    ids: &[Uuid],
) -> Result<Vec<Payment>, sqlx::Error> {
    let payments = find(transaction, ids).await?;
    let allocations = sqlx::query!(
        r#"SELECT payment_id, invoice_id, invoice.number AS "number!", allocation.amount
           FROM billing.allocation
           JOIN billing.invoice ON invoice.id = allocation.invoice_id
           WHERE payment_id = ANY($1) AND allocation.amount > 0
           ORDER BY invoice.series, invoice.sequence"#,
        ids,
    )
    .fetch_all(transaction)
    .await?;
    let payments = payments.into_iter().map(|payment| {
        let theirs = allocations
            .iter()
            .filter(|row| row.payment_id == payment.id);
        let allocations = theirs.map(|row| Allocation {
            invoice_id: row.invoice_id.to_string(),
            invoice_number: row.number.clone(),
            amount: Some(wire::money(&payment.currency, row.amount)),
        });
        let allocations = allocations.collect();
        payment.into_wire(allocations)
    });
    Ok(payments.collect())
}

/// One of them.
pub(super) async fn one(transaction: &mut Transaction, id: Uuid) -> Result<Payment, Stopped> {
    let found = whole(transaction, &[id]).await?.into_iter().next();
    Ok(found.ok_or_else(|| not_found("payment"))?)
}

impl StoredPayment {
    /// Locks the accounts that a payment touches, and answers its patient and it.
    ///
    /// # Errors
    /// `NOT_FOUND` if there is no such payment, `ABORTED` if its etag is another.
    pub(crate) async fn lock(
        work: &mut Work,
        id: Uuid,
        etag: &str,
    ) -> Result<(Party, Self), Stopped> {
        let party = work.lock_matter(Matter::Payment(id)).await?;
        let party = party.ok_or_else(|| not_found("payment"))?;
        let payment = find(&mut work.transaction, &[id]).await?.into_iter().next();
        let payment = payment.ok_or_else(|| not_found("payment"))?;
        check_etag(etag, payment.version)?;
        Ok((party, payment))
    }

    /// The refusal of what cannot be done with it now.
    pub(crate) fn refusal(&self, reason: RefusalReason, why: &str) -> Status {
        not_now(reason, format_args!("payment {}", self.id), why)
    }

    /// Refuses what cannot be done with a payment that never arrived.
    pub(crate) fn must_stand(&self) -> Result<(), Status> {
        match self.state {
            State::Recorded => Ok(()),
            State::Reversed => {
                Err(self.refusal(RefusalReason::PaymentReversed, "the payment was reversed"))
            }
        }
    }

    /// What the audit trail calls it.
    pub(super) const fn resource(&self) -> Resource {
        Resource::new(ResourceType::Payment, self.id)
    }

    fn into_wire(self, allocations: Vec<Allocation>) -> Payment {
        let money = |amount| Some(wire::money(&self.currency, amount));
        Payment {
            payment_id: self.id.to_string(),
            patient_id: self.patient_id.to_string(),
            state: PaymentState::from(self.state).into(),
            etag: etag(self.version),
            method: PaymentMethod::from(self.method).into(),
            amount: money(self.amount),
            reference: self.reference.unwrap_or_default(),
            payment_date: wire::day(Some(self.payment_date)),
            allocated: money(self.allocated),
            refunded: money(self.refunded),
            credit: money(self.credit),
            allocations,
            recorded_by: wire::id(self.recorded_by),
            reversed_by: wire::id(self.reversed_by),
            create_time: Some(wire::time(self.created_at)),
            reverse_time: self.reversed_at.map(wire::time),
            reverse_reason: self.reverse_reason.unwrap_or_default(),
        }
    }
}
