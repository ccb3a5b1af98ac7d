//! The rows of an invoice that is issued and of a payment, with nothing around them: prepared
//! statements on a connection of the same pool, and no question that is not needed to write them.

use sqlx::{PgConnection, PgPool, Row as _};
use uuid::Uuid;

use crate::{
    Outcome,
    clinic::{Draft, TOTAL},
};

/// A message as long as the event of an invoice.
const EVENT: [u8; 160] = [7; 160];

/// An answer as long as that of an issued invoice.
const ANSWER: [u8; 700] = [7; 700];

pub(crate) async fn issue(database: &PgPool, draft: &Draft) -> Outcome<()> {
    let mut transaction = database.begin().await?;
    lock(&mut transaction, draft).await?;
    sqlx::query("UPDATE billing.charge SET state = 'INVOICED' WHERE id = $1")
        .bind(draft.charge)
        .execute(&mut *transaction)
        .await?;
    let numbered = sqlx::query(
        "UPDATE billing.number_series
         SET last_number = last_number + 1, last_date = current_date
         WHERE name = extract(year FROM current_date)::text RETURNING name, last_number",
    )
    .fetch_one(&mut *transaction)
    .await?;
    let (series, sequence): (String, i64) = (numbered.try_get(0)?, numbered.try_get(1)?);
    sqlx::query(
        "UPDATE billing.invoice
         SET version = version + 1, state = 'ISSUED', series = $2, sequence = $3, number = $4,
             issue_date = current_date, due_date = current_date + 30, billed_name = 'Milo Feil',
             billed_email = 'milo@clinic.example', issued_at = now()
         WHERE id = $1",
    )
    .bind(draft.id)
    .bind(&series)
    .bind(sequence)
    .bind(format!("{series}-{sequence:06}"))
    .execute(&mut *transaction)
    .await?;
    let entry = Uuid::now_v7();
    sqlx::query(
        "WITH owed AS (
             UPDATE billing.ledger_account
             SET balance = balance + $3, last_sequence = last_sequence + 1
             WHERE account_id = $2 AND kind = 'RECEIVABLE' RETURNING id, last_sequence, balance
         ), booked AS (
             INSERT INTO billing.entry (id, kind, account_id, business_date, invoice_id, request_id)
             VALUES ($1, 'INVOICE_ISSUED', $2, current_date, $4, $1)
         )
         INSERT INTO billing.posting
             (entry_id, line, ledger_account_id, currency, amount, sequence, balance_after, code,
              tax_rate_ppm)
         SELECT $1, 1, id, 'EUR', $3, last_sequence, balance, NULL, NULL FROM owed
         UNION ALL
         SELECT $1, CASE kind WHEN 'REVENUE' THEN 2 ELSE 3 END, id, 'EUR',
                CASE kind WHEN 'REVENUE' THEN -5000 ELSE -950 END, NULL, NULL, 'CONSULT', 190000
         FROM billing.ledger_account WHERE kind IN ('REVENUE', 'TAX')",
    )
    .bind(entry)
    .bind(draft.account)
    .bind(TOTAL)
    .bind(draft.id)
    .execute(&mut *transaction)
    .await?;
    finish(
        &mut transaction,
        draft,
        "ISSUE_INVOICE",
        "INVOICE",
        draft.id,
    )
    .await?;
    transaction.commit().await?;
    Ok(())
}

pub(crate) async fn pay(database: &PgPool, invoice: &Draft) -> Outcome<()> {
    let mut transaction = database.begin().await?;
    lock(&mut transaction, invoice).await?;
    let payment = Uuid::now_v7();
    sqlx::query(
        "WITH paid AS (
             INSERT INTO billing.payment
                 (id, account_id, method, currency, amount, reference, payment_date, allocated)
             VALUES ($1, $2, 'CASH', 'EUR', $3, $1::text, current_date, $3)
             RETURNING id
         ), settled AS (
             UPDATE billing.invoice SET allocated = allocated + $3, version = version + 1
             WHERE id = $4
         )
         INSERT INTO billing.allocation (payment_id, invoice_id, amount)
         SELECT id, $4, $3 FROM paid",
    )
    .bind(payment)
    .bind(invoice.account)
    .bind(TOTAL)
    .bind(invoice.id)
    .execute(&mut *transaction)
    .await?;
    let (recorded, allocated) = (Uuid::now_v7(), Uuid::now_v7());
    sqlx::query(
        "WITH credit AS (
             UPDATE billing.ledger_account SET last_sequence = last_sequence + 2
             WHERE account_id = $3 AND kind = 'CREDIT' RETURNING id, last_sequence, balance
         ), owed AS (
             UPDATE billing.ledger_account
             SET balance = balance - $4, last_sequence = last_sequence + 1
             WHERE account_id = $3 AND kind = 'RECEIVABLE' RETURNING id, last_sequence, balance
         ), booked AS (
             INSERT INTO billing.entry
                 (id, kind, account_id, business_date, invoice_id, payment_id, request_id)
             VALUES ($1, 'PAYMENT_RECORDED', $3, current_date, NULL, $6, $1),
                    ($2, 'CREDIT_ALLOCATED', $3, current_date, $5, $6, $1)
         )
         INSERT INTO billing.posting
             (entry_id, line, ledger_account_id, currency, amount, sequence, balance_after)
         SELECT $1, 1, id, 'EUR', $4, NULL, NULL FROM billing.ledger_account WHERE kind = 'CASH'
         UNION ALL
         SELECT $1, 2, id, 'EUR', -$4, last_sequence - 1, balance - $4 FROM credit
         UNION ALL
         SELECT $2, 1, id, 'EUR', $4, last_sequence, balance FROM credit
         UNION ALL
         SELECT $2, 2, id, 'EUR', -$4, last_sequence, balance FROM owed",
    )
    .bind(recorded)
    .bind(allocated)
    .bind(invoice.account)
    .bind(TOTAL)
    .bind(invoice.id)
    .bind(payment)
    .execute(&mut *transaction)
    .await?;
    finish(
        &mut transaction,
        invoice,
        "RECORD_PAYMENT",
        "PAYMENT",
        payment,
    )
    .await?;
    transaction.commit().await?;
    Ok(())
}

async fn lock(transaction: &mut PgConnection, draft: &Draft) -> Outcome<()> {
    sqlx::query("SELECT FROM billing.account WHERE id = $1 FOR UPDATE")
        .bind(draft.account)
        .execute(transaction)
        .await?;
    Ok(())
}

/// The stored answer, the event, and the record in the audit trail.
async fn finish(
    transaction: &mut PgConnection,
    draft: &Draft,
    action: &str,
    kind: &str,
    resource: Uuid,
) -> Outcome<()> {
    sqlx::query(
        "WITH answered AS (
             INSERT INTO billing.request (id, method, account_id, fingerprint, answer)
             VALUES ($1, 'Bare', $2, $3, $4)
         )
         INSERT INTO billing.outbox (patient_id, message_id, kind, payload, traceparent)
         VALUES ($5, $1, 'BILLING_EVENT', $6,
                 '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01')",
    )
    .bind(Uuid::new_v4())
    .bind(draft.account)
    .bind(&[7_u8; 32][..])
    .bind(&ANSWER[..])
    .bind(draft.patient)
    .bind(&EVENT[..])
    .execute(&mut *transaction)
    .await?;
    sqlx::query(
        "SELECT audit.append($1, $2, 'RECEPTIONIST', $3, 'SUCCEEDED', NULL, ARRAY[$4::uuid], NULL,
                             NULL, '127.0.0.1', 'measurement', $5, $6)",
    )
    .bind(Uuid::now_v7())
    .bind(Uuid::nil())
    .bind(action)
    .bind(draft.patient)
    .bind(kind)
    .bind(resource)
    .execute(&mut *transaction)
    .await?;
    Ok(())
}
