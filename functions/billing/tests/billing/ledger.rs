//! What the database itself refuses, whoever asks.

use sqlx::{Error, PgConnection, PgPool};
use uuid::Uuid;

use crate::desk::Desk;

/// An entry about a payment that is there, of these amounts on the clinic's accounts.
async fn book(database: &PgPool, payment: Uuid, amounts: &[i64]) -> Result<(), Error> {
    let mut transaction = database.begin().await?;
    let entry = open_entry(&mut transaction, payment).await?;
    post(&mut transaction, entry, 1, amounts).await?;
    transaction.commit().await
}

async fn open_entry(transaction: &mut PgConnection, payment: Uuid) -> Result<Uuid, Error> {
    let entry = Uuid::now_v7();
    sqlx::query(
        "INSERT INTO billing.entry (id, kind, account_id, business_date, payment_id, invoice_id)
         SELECT $1, 'CREDIT_ALLOCATED', account_id, '2026-01-01', payment.id,
                (SELECT id FROM billing.invoice LIMIT 1)
         FROM billing.payment WHERE id = $2",
    )
    .bind(entry)
    .bind(payment)
    .execute(transaction)
    .await?;
    Ok(entry)
}

/// Postings of these amounts, from this line of the entry on.
async fn post(
    transaction: &mut PgConnection,
    entry: Uuid,
    line: i32,
    amounts: &[i64],
) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO billing.posting (entry_id, line, ledger_account_id, currency, amount)
         SELECT $1, place + $2 - 1, account.id, account.currency, amount
         FROM unnest($3::bigint[]) WITH ORDINALITY AS posting (amount, place)
         JOIN billing.ledger_account AS account ON account.kind = 'CASH'",
    )
    .bind(entry)
    .bind(line)
    .bind(amounts)
    .execute(transaction)
    .await?;
    Ok(())
}

fn code(result: Result<impl std::fmt::Debug, Error>) -> String {
    let error = result.unwrap_err();
    let refusal = error.as_database_error().unwrap();
    refusal.code().unwrap().into_owned()
}

const CHECK_VIOLATION: &str = "23514";
const RESTRICT_VIOLATION: &str = "23001";

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn an_entry_that_does_not_sum_to_0_fails(database: PgPool) {
    let desk = Desk::open(&database).await;
    let patient = desk.patient().await;
    desk.invoiced(patient, 100).await;
    let payment = desk
        .pay(patient, 100, &[])
        .await
        .payment_id
        .parse()
        .unwrap();
    book(&database, payment, &[5, -5]).await.unwrap();
    book(&database, payment, &[5, -2, -3]).await.unwrap();
    assert_eq!(
        code(book(&database, payment, &[5, -4]).await),
        CHECK_VIOLATION
    );
    assert_eq!(code(book(&database, payment, &[5]).await), CHECK_VIOLATION);
    assert_eq!(code(book(&database, payment, &[]).await), CHECK_VIOLATION);
    assert_eq!(
        code(book(&database, payment, &[0, 0]).await),
        CHECK_VIOLATION
    );
}

/// Whoever has the check made early cannot spoil the entry after it.
#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn an_entry_sums_to_0_whenever_it_is_checked(database: PgPool) {
    let desk = Desk::open(&database).await;
    let patient = desk.patient().await;
    desk.invoiced(patient, 100).await;
    let payment = desk
        .pay(patient, 100, &[])
        .await
        .payment_id
        .parse()
        .unwrap();
    let checked_early = async |more: &'static [&'static [i64]]| {
        let mut transaction = database.begin().await?;
        let entry = open_entry(&mut transaction, payment).await?;
        post(&mut transaction, entry, 1, &[5, -5]).await?;
        sqlx::query("SET CONSTRAINTS ALL IMMEDIATE")
            .execute(&mut *transaction)
            .await?;
        for (line, amounts) in (3..).step_by(2).zip(more) {
            post(&mut transaction, entry, line, amounts).await?;
        }
        transaction.commit().await
    };
    checked_early(&[]).await.unwrap();
    checked_early(&[&[2, -2]]).await.unwrap();
    assert_eq!(code(checked_early(&[&[1]]).await), CHECK_VIOLATION);
    assert_eq!(code(checked_early(&[&[2, -1]]).await), CHECK_VIOLATION);
    assert_eq!(code(checked_early(&[&[1], &[-1]]).await), CHECK_VIOLATION);

    let mut transaction = database.begin().await.unwrap();
    open_entry(&mut transaction, payment).await.unwrap();
    let early = sqlx::query("SET CONSTRAINTS ALL IMMEDIATE").execute(&mut *transaction);
    assert_eq!(code(early.await), CHECK_VIOLATION);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn nothing_is_added_to_an_entry_later(database: PgPool) {
    let desk = Desk::open(&database).await;
    desk.pay(desk.patient().await, 100, &[]).await;
    let added = sqlx::query(
        "INSERT INTO billing.posting (entry_id, line, ledger_account_id, currency, amount)
         SELECT entry.id, line, account.id, 'EUR', amount
         FROM billing.entry, billing.ledger_account AS account,
              (VALUES (8, 5), (9, -5)) AS posting (line, amount)
         WHERE account.kind = 'CASH'",
    )
    .execute(&database)
    .await;
    assert_eq!(code(added), CHECK_VIOLATION);
}

/// Not even the owner changes them by mistake.
#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn what_is_booked_or_issued_is_never_changed(database: PgPool) {
    let desk = Desk::open(&database).await;
    let patient = desk.patient().await;
    let invoice = desk.invoiced(patient, 1000).await.invoice_id;
    desk.pay(patient, 500, &[&invoice]).await;
    crate::invoices::credit(&desk, &invoice, Some(100))
        .await
        .unwrap();
    for statement in [
        "UPDATE billing.posting SET amount = amount + 1",
        "DELETE FROM billing.posting",
        "TRUNCATE billing.posting",
        "UPDATE billing.entry SET business_date = '2020-01-01'",
        "DELETE FROM billing.entry",
        "UPDATE billing.price SET unit_amount = 1",
        "DELETE FROM billing.credit_note_line",
        "UPDATE billing.credit_note SET reason = 'Another'",
        "UPDATE billing.invoice SET total = total + 1, net = net + 1",
        "UPDATE billing.invoice SET billed_name = 'Another'",
        "UPDATE billing.invoice SET state = 'DRAFT', number = NULL",
        "DELETE FROM billing.invoice",
        "UPDATE billing.invoice_line SET description = 'Another'",
        "UPDATE billing.invoice_line SET live = false, description = 'Another'",
        "DELETE FROM billing.invoice_line",
        "UPDATE billing.payment SET amount = amount + 1",
        "DELETE FROM billing.payment",
    ] {
        let changed = sqlx::raw_sql(statement).execute(&database).await;
        assert_eq!(code(changed), RESTRICT_VIOLATION, "{statement}");
    }
    let adds = "INSERT INTO billing.invoice_line
                SELECT gen_random_uuid(), invoice_id, 2, charge_id, code, description, service_date,
                       quantity, unit_amount, discount, net, tax_rate_ppm, tax, total, false
                FROM billing.invoice_line";
    let added = sqlx::raw_sql(adds).execute(&database).await;
    assert_eq!(code(added), RESTRICT_VIOLATION);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn no_sum_is_settled_or_used_twice(database: PgPool) {
    let desk = Desk::open(&database).await;
    let patient = desk.patient().await;
    let invoice = desk.invoiced(patient, 1000).await.invoice_id;
    desk.pay(patient, 500, &[&invoice]).await;
    for statement in [
        "UPDATE billing.invoice SET allocated = 1001",
        "UPDATE billing.invoice SET credited = 501",
        "UPDATE billing.invoice SET allocated = -1",
        "UPDATE billing.payment SET refunded = 1",
        "UPDATE billing.allocation SET amount = -1",
        "UPDATE billing.ledger_account SET balance = 1 WHERE kind = 'CREDIT'",
        "UPDATE billing.ledger_account SET balance = -1 WHERE kind = 'RECEIVABLE'",
    ] {
        let changed = sqlx::raw_sql(statement).execute(&database).await;
        assert_eq!(code(changed), CHECK_VIOLATION, "{statement}");
    }
    // A charge on two invoices that stand.
    desk.charge(patient, "A-1000", 1).await;
    let draft = desk.draft(patient).await;
    let twice =
        sqlx::query("UPDATE billing.invoice_line SET charge_id = $1 WHERE invoice_id <> $2")
            .bind(draft.lines[0].charge_id.parse::<Uuid>().unwrap())
            .bind(draft.invoice_id.parse::<Uuid>().unwrap())
            .execute(&database)
            .await;
    assert_eq!(code(twice), RESTRICT_VIOLATION);
    let charged = sqlx::query(
        "UPDATE billing.invoice_line SET charge_id = (
             SELECT charge_id FROM billing.invoice_line WHERE invoice_id <> $1)
         WHERE invoice_id = $1",
    )
    .bind(draft.invoice_id.parse::<Uuid>().unwrap())
    .execute(&database)
    .await;
    assert_eq!(code(charged), "23505");
}
