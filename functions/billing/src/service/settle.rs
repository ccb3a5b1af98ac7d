//! What payments are used for: the two sides of an allocation, and its entries in the ledger.

use uuid::Uuid;

use crate::service::{
    ledger::{Entry, EntryKind, LedgerAccount, Posting},
    work::{Stopped, Work},
};

/// So much of a payment, for an invoice.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Use {
    pub(crate) payment: Uuid,
    /// The account whose credit it is.
    pub(crate) payment_account: Uuid,
    pub(crate) invoice: Uuid,
    /// The account that owes it.
    pub(crate) invoice_account: Uuid,
    /// In the smallest unit of the currency of both; more than 0.
    pub(crate) amount: i64,
}

impl Use {
    /// The entry of the allocation.
    pub(crate) fn allocation(&self) -> Entry {
        let postings = vec![
            Posting::debit(LedgerAccount::Credit(self.payment_account), self.amount),
            Posting::credit(LedgerAccount::Receivable(self.invoice_account), self.amount),
        ];
        Entry::new(EntryKind::CreditAllocated, self.invoice_account, postings)
            .about_invoice(self.invoice)
            .about_payment(self.payment)
    }

    /// The entry that takes the allocation, or a part of it, back.
    pub(crate) fn release(&self) -> Entry {
        let postings = vec![
            Posting::debit(LedgerAccount::Receivable(self.invoice_account), self.amount),
            Posting::credit(LedgerAccount::Credit(self.payment_account), self.amount),
        ];
        Entry::new(
            EntryKind::AllocationReleased,
            self.invoice_account,
            postings,
        )
        .about_invoice(self.invoice)
        .about_payment(self.payment)
    }
}

/// Columns of the same length, for `unnest`.
fn columns(uses: &[Use], sign: i64) -> (Vec<Uuid>, Vec<Uuid>, Vec<i64>) {
    let payments = uses.iter().map(|used| used.payment).collect();
    let invoices = uses.iter().map(|used| used.invoice).collect();
    let amounts = uses.iter().map(|used| used.amount * sign).collect();
    (payments, invoices, amounts)
}

/// Uses payments. The other side, the invoices, is [`settle_invoices`], or is issued with it.
pub(crate) async fn use_payments(work: &mut Work, uses: &[Use]) -> Result<(), Stopped> {
    if uses.is_empty() {
        return Ok(());
    }
    let (payments, invoices, amounts) = columns(uses, 1);
    sqlx::query!(
        "INSERT INTO billing.allocation (payment_id, invoice_id, amount)
         SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::bigint[])
         ON CONFLICT (payment_id, invoice_id) DO UPDATE
         SET amount = allocation.amount + excluded.amount, changed_at = clock_timestamp()",
        &payments,
        &invoices,
        &amounts,
    )
    .execute(&mut work.transaction)
    .await?;
    move_payments(work, &payments, &amounts).await
}

/// Counts what was used on the side of the invoices.
pub(crate) async fn settle_invoices(work: &mut Work, uses: &[Use]) -> Result<(), Stopped> {
    if uses.is_empty() {
        return Ok(());
    }
    let (_, invoices, amounts) = columns(uses, 1);
    move_invoices(work, &invoices, &amounts).await
}

/// Takes allocations back, on both sides.
pub(crate) async fn release(work: &mut Work, uses: &[Use]) -> Result<(), Stopped> {
    if uses.is_empty() {
        return Ok(());
    }
    let (payments, invoices, amounts) = columns(uses, -1);
    sqlx::query!(
        "UPDATE billing.allocation
         SET amount = allocation.amount + moved.amount
         FROM unnest($1::uuid[], $2::uuid[], $3::bigint[]) AS moved (payment_id, invoice_id, amount)
         WHERE allocation.payment_id = moved.payment_id AND allocation.invoice_id = moved.invoice_id",
        &payments,
        &invoices,
        &amounts,
    )
    .execute(&mut work.transaction)
    .await?;
    move_payments(work, &payments, &amounts).await?;
    move_invoices(work, &invoices, &amounts).await
}

async fn move_payments(work: &mut Work, ids: &[Uuid], amounts: &[i64]) -> Result<(), Stopped> {
    sqlx::query!(
        "UPDATE billing.payment
         SET allocated = payment.allocated + moved.amount, version = payment.version + 1
         FROM (SELECT id, sum(amount)::bigint AS amount
               FROM unnest($1::uuid[], $2::bigint[]) AS moved (id, amount) GROUP BY id) AS moved
         WHERE payment.id = moved.id",
        ids,
        amounts,
    )
    .execute(&mut work.transaction)
    .await?;
    Ok(())
}

async fn move_invoices(work: &mut Work, ids: &[Uuid], amounts: &[i64]) -> Result<(), Stopped> {
    sqlx::query!(
        "UPDATE billing.invoice
         SET allocated = invoice.allocated + moved.amount, version = invoice.version + 1
         FROM (SELECT id, sum(amount)::bigint AS amount
               FROM unnest($1::uuid[], $2::bigint[]) AS moved (id, amount) GROUP BY id) AS moved
         WHERE invoice.id = moved.id",
        ids,
        amounts,
    )
    .execute(&mut work.transaction)
    .await?;
    Ok(())
}

/// What was used for an invoice, the newest first.
pub(crate) async fn uses_of_invoice(work: &mut Work, invoice: Uuid) -> Result<Vec<Use>, Stopped> {
    let uses = sqlx::query_as!(
        Use,
        "SELECT payment_id AS payment, payment.account_id AS payment_account,
                invoice_id AS invoice, invoice.account_id AS invoice_account, allocation.amount
         FROM billing.allocation
         JOIN billing.payment ON payment.id = payment_id
         JOIN billing.invoice ON invoice.id = invoice_id
         WHERE invoice_id = $1 AND allocation.amount > 0
         ORDER BY changed_at DESC, payment_id DESC",
        invoice,
    )
    .fetch_all(&mut work.transaction)
    .await?;
    Ok(uses)
}

/// What a payment was used for.
pub(crate) async fn uses_of_payment(work: &mut Work, payment: Uuid) -> Result<Vec<Use>, Stopped> {
    let uses = sqlx::query_as!(
        Use,
        "SELECT payment_id AS payment, payment.account_id AS payment_account,
                invoice_id AS invoice, invoice.account_id AS invoice_account, allocation.amount
         FROM billing.allocation
         JOIN billing.payment ON payment.id = payment_id
         JOIN billing.invoice ON invoice.id = invoice_id
         WHERE payment_id = $1 AND allocation.amount > 0
         ORDER BY invoice_id",
        payment,
    )
    .fetch_all(&mut work.transaction)
    .await?;
    Ok(uses)
}

/// The first uses that come to this amount together, the last of them in part.
pub(crate) fn up_to(uses: Vec<Use>, amount: i64) -> Vec<Use> {
    let mut left = amount;
    let mut taken = Vec::new();
    for used in uses {
        let amount = used.amount.min(left);
        if amount <= 0 {
            break;
        }
        left -= amount;
        taken.push(Use { amount, ..used });
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uses_are_taken_until_it_is_enough() {
        let used = |amount| Use {
            payment: Uuid::nil(),
            payment_account: Uuid::nil(),
            invoice: Uuid::nil(),
            invoice_account: Uuid::nil(),
            amount,
        };
        let taken = |most| -> Vec<i64> {
            let taken = up_to(vec![used(5), used(10), used(1)], most);
            taken.into_iter().map(|used| used.amount).collect()
        };
        assert_eq!(taken(0), [0; 0]);
        assert_eq!(taken(5), [5]);
        assert_eq!(taken(7), [5, 2]);
        assert_eq!(taken(100), [5, 10, 1]);
    }
}
