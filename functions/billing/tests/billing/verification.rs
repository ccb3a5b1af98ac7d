//! What verify-ledger finds, and that it finds nothing where nothing is wrong.

use std::collections::BTreeSet;

use billing::verify_ledger::{Rule, VerifyError, verify_ledger};
use sqlx::PgPool;

use crate::{
    desk::Desk,
    invoices::{credit, void, write_off},
    payments::reverse,
    refunds::{approve, complete, reject, request},
};

/// A little of everything.
async fn a_day_at_the_clinic(database: &PgPool) -> Desk {
    let desk = Desk::open(database).await;
    let patient = desk.patient().await;
    let first = desk.invoiced(patient, 1000).await.invoice_id;
    let second = desk.invoiced(patient, 500).await.invoice_id;
    let paid = desk.pay(patient, 1200, &[&first]).await.payment_id;
    credit(&desk, &first, Some(100)).await.unwrap();
    let refund = request(&desk, &paid, Some(50)).await.unwrap();
    approve(&desk, &refund).await.unwrap();
    complete(&desk, &refund).await.unwrap();
    let refund = request(&desk, &paid, Some(10)).await.unwrap();
    reject(&desk, &refund).await.unwrap();
    void(&desk, &second).await.unwrap();
    let bounced = desk.pay(patient, 30, &[]).await.payment_id;
    reverse(&desk, &bounced).await.unwrap();
    let third = desk.invoiced(patient, 2000).await.invoice_id;
    write_off(&desk, &third).await.unwrap();
    desk.charge(patient, "A-500", 1).await;
    desk.draft(patient).await;
    desk.charge(patient, "NONE", 1).await;
    desk
}

async fn found(database: &PgPool) -> Vec<Rule> {
    let verified = verify_ledger(database).await.unwrap();
    let mut rules: Vec<Rule> = verified.faults.iter().map(|fault| fault.rule).collect();
    rules.dedup();
    assert_eq!(verified.intact, rules.is_empty());
    rules
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn nothing_is_wrong_after_a_day_at_the_clinic(database: PgPool) {
    assert_eq!(found(&database).await, []);
    a_day_at_the_clinic(&database).await;
    let verified = verify_ledger(&database).await.unwrap();
    assert!(verified.intact, "{:?}", verified.faults);
    assert!(verified.entries > 10);
}

/// Who owns the database can do all of this, and take away what would refuse it.
#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn what_an_owner_tampers_with_is_found(database: PgPool) {
    a_day_at_the_clinic(&database).await;
    for (tampering, expected) in [
        (
            "UPDATE billing.posting SET amount = amount + 1 WHERE (entry_id, line) = (
                 SELECT entry_id, line FROM billing.posting JOIN billing.ledger_account AS account
                     ON account.id = ledger_account_id WHERE account.kind = 'CASH' LIMIT 1)",
            Rule::EntryBalanced,
        ),
        (
            "DELETE FROM billing.posting WHERE entry_id = (
                 SELECT id FROM billing.entry WHERE kind = 'REFUND_COMPLETED')",
            Rule::EntryBalanced,
        ),
        (
            "UPDATE billing.ledger_account SET balance = balance + 1 WHERE kind = 'RECEIVABLE'",
            Rule::BalanceIsSum,
        ),
        (
            "UPDATE billing.invoice SET credited = credited - 1 WHERE credited > 0",
            Rule::InvoiceAsBooked,
        ),
        (
            "UPDATE billing.invoice SET net = net - 1, total = total - 1 WHERE state = 'VOID'",
            Rule::InvoiceAsBooked,
        ),
        (
            "UPDATE billing.payment SET amount = amount + 1",
            Rule::PaymentAsBooked,
        ),
        (
            "UPDATE billing.refund SET amount = amount - 1 WHERE state = 'COMPLETED'",
            Rule::PaymentAsBooked,
        ),
        (
            "UPDATE billing.credit_note SET net = net - 1, total = total - 1",
            Rule::CreditNoteAsBooked,
        ),
        (
            "UPDATE billing.number_series SET last_number = last_number + 1",
            Rule::NumbersWithoutGap,
        ),
        (
            "UPDATE billing.invoice SET issue_date = '2020-01-01'
             WHERE sequence = (SELECT max(sequence) FROM billing.invoice)",
            Rule::NumbersWithoutGap,
        ),
        (
            "UPDATE billing.charge SET state = 'BILLABLE' WHERE state = 'INVOICED'",
            Rule::ChargeInvoicedOnce,
        ),
    ] {
        let mut transaction = database.begin().await.unwrap();
        sqlx::raw_sql("SET session_replication_role = replica")
            .execute(&mut *transaction)
            .await
            .unwrap();
        let done = sqlx::raw_sql(tampering)
            .execute(&mut *transaction)
            .await
            .unwrap();
        assert!(done.rows_affected() > 0, "{tampering}");
        transaction.commit().await.unwrap();
        let rules = found(&database).await;
        assert!(rules.contains(&expected), "{tampering}: {rules:?}");
        restore(&database).await;
    }
}

/// What was tampered with stays so: each case begins with new books.
async fn restore(database: &PgPool) {
    let mut transaction = database.begin().await.unwrap();
    sqlx::raw_sql(
        "SET session_replication_role = replica;
         DELETE FROM billing.posting; DELETE FROM billing.entry; DELETE FROM billing.allocation;
         DELETE FROM billing.refund; DELETE FROM billing.write_off;
         DELETE FROM billing.credit_note_line; DELETE FROM billing.credit_note;
         DELETE FROM billing.invoice_line; DELETE FROM billing.invoice; DELETE FROM billing.payment;
         DELETE FROM billing.charge; DELETE FROM billing.number_series; DELETE FROM billing.ledger_account;
         SET session_replication_role = DEFAULT",
    )
    .execute(&mut *transaction)
    .await
    .unwrap();
    transaction.commit().await.unwrap();
    a_day_at_the_clinic(database).await;
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_rule_that_was_taken_away_is_missed(database: PgPool) {
    for weakening in [
        "ALTER TABLE billing.posting DISABLE TRIGGER posting_is_final",
        "DROP TRIGGER entry_balanced ON billing.entry",
        "ALTER TABLE billing.invoice DROP CONSTRAINT invoice_settled_once",
    ] {
        sqlx::raw_sql(weakening).execute(&database).await.unwrap();
    }
    let verified = verify_ledger(&database).await.unwrap();
    let subjects: BTreeSet<&str> = verified
        .faults
        .iter()
        .map(|fault| &*fault.subject)
        .collect();
    let expected = [
        "entry entry_balanced",
        "invoice invoice_settled_once",
        "posting posting_is_final",
    ];
    assert_eq!(subjects, BTreeSet::from(expected));
}

/// Between the deployment of a function and `provision`, whose migration makes what is missed.
#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_schema_that_is_older_than_the_function_is_no_fault(database: PgPool) {
    let schema = async |change: &'static str| {
        sqlx::raw_sql(change).execute(&database).await.unwrap();
        verify_ledger(&database).await
    };
    let newer = schema(
        "CREATE TABLE billing._sqlx_migrations (version bigint, success boolean);
         INSERT INTO billing._sqlx_migrations VALUES (22, true), (1000, true)",
    );
    assert!(newer.await.unwrap().intact);
    for older in [
        "DROP TRIGGER credit_note_is_not_emptied ON billing.credit_note;
         DELETE FROM billing._sqlx_migrations WHERE version = 1000",
        "DROP FUNCTION billing.schema_version()",
    ] {
        let refused = schema(older).await;
        assert!(
            matches!(refused, Err(VerifyError::OlderSchema)),
            "{refused:?}"
        );
    }
}
