//! What the rest of the system hears of: written with what makes it true, and of nothing else.

use std::collections::BTreeMap;

use events::{Amount, BillingChange, BillingEvent, Event as _, Method};
use sqlx::PgPool;
use uuid::Uuid;

use crate::{
    desk::{Desk, SetClock, payment},
    invoices::{credit, void, write_off},
    payments::reverse,
    refunds::{approve, complete, request},
};

pub(crate) async fn events(database: &PgPool) -> Vec<BillingEvent> {
    let payloads: Vec<Vec<u8>> =
        sqlx::query_scalar("SELECT payload FROM billing.outbox ORDER BY sequence")
            .fetch_all(database)
            .await
            .unwrap();
    payloads
        .iter()
        .map(|payload| BillingEvent::decode(payload).unwrap())
        .collect()
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn what_happens_is_announced_once(database: PgPool) {
    let desk = Desk::open(&database).await;
    let patient = desk.patient().await;
    let first = desk.invoiced(patient, 1000).await.invoice_id;
    let request_of_payment = payment(patient, 1200, &[&first]);
    let paid = desk
        .record_payment(request_of_payment.clone())
        .await
        .unwrap()
        .payment
        .unwrap();
    desk.record_payment(request_of_payment).await.unwrap();
    credit(&desk, &first, Some(100)).await.unwrap();
    credit(&desk, &first, Some(10_000)).await.unwrap_err();
    let refund = request(&desk, &paid.payment_id, Some(50)).await.unwrap();
    approve(&desk, &refund).await.unwrap();
    complete(&desk, &refund).await.unwrap();
    let second = desk.invoiced(patient, 2000).await;
    void(&desk, &second.invoice_id).await.unwrap();
    let third = desk.draft(patient).await.invoice_id;
    desk.issue(&third).await.unwrap();
    write_off(&desk, &third).await.unwrap();
    let bounced = desk.pay(patient, 30, &[]).await.payment_id;
    reverse(&desk, &bounced).await.unwrap();

    let (due, events): (Vec<_>, Vec<_>) = events(&database)
        .await
        .into_iter()
        .partition(|event| matches!(event.change, BillingChange::InvoiceDueChanged { .. }));
    let kinds: Vec<&str> = events.iter().map(events::Event::kind).collect();
    assert_eq!(
        kinds,
        [
            "invoice-issued",
            "payment-recorded",
            "credit-note-issued",
            "refund-completed",
            "invoice-issued",
            "invoice-voided",
            "invoice-issued",
            "invoice-written-off",
            "payment-recorded",
            "payment-reversed",
        ]
    );
    assert!(events.iter().all(|event| event.patient_id == patient));
    // Issued, paid, credited, issued with credit, voided, issued again, written off.
    let changes = due.iter().map(|event| match &event.change {
        BillingChange::InvoiceDueChanged { change, due, .. } => {
            (change.minor_units, due.minor_units)
        }
        other => panic!("{other:?}"),
    });
    let expected = [
        (1000, 1000),
        (-1000, 0),
        (1750, 1750),
        (-1750, 0),
        (1750, 1750),
        (-1750, 0),
    ];
    assert_eq!(changes.collect::<Vec<_>>(), expected);
    let BillingChange::InvoiceIssued { total, due, .. } = &events[4].change else {
        panic!("{events:?}");
    };
    // 250 of credit were left: 200 overpaid, and 100 credited, without the refund.
    assert_eq!((total.minor_units, due.minor_units), (2000, 1750));
    let BillingChange::PaymentRecorded { payment, .. } = &events[1].change else {
        panic!("{events:?}");
    };
    assert_eq!(*payment, paid.payment_id.parse::<Uuid>().unwrap());
}

/// What was booked on which day, by what it is: from the ledger, and from the events.
pub(crate) async fn assert_events_say_what_the_books_say(database: &PgPool) {
    let booked: Vec<(String, i64)> = sqlx::query_as(
        "SELECT concat_ws(' ', business_date, entry.kind, account.kind, account.currency),
                sum(amount)::bigint
         FROM billing.entry
         JOIN billing.posting ON posting.entry_id = entry.id
         JOIN billing.ledger_account AS account ON account.id = posting.ledger_account_id
         WHERE account.kind NOT IN ('RECEIVABLE', 'CREDIT')
         GROUP BY 1
         UNION ALL
         SELECT concat_ws(' ', business_date, 'due', invoice.due_date, account.currency),
                sum(amount)::bigint
         FROM billing.entry
         JOIN billing.posting ON posting.entry_id = entry.id
         JOIN billing.ledger_account AS account ON account.id = posting.ledger_account_id
         JOIN billing.invoice ON invoice.id = entry.invoice_id
         WHERE account.kind = 'RECEIVABLE'
         GROUP BY 1",
    )
    .fetch_all(database)
    .await
    .unwrap();
    let mut booked: BTreeMap<String, i64> = booked.into_iter().collect();
    booked.retain(|_, amount| *amount != 0);

    let mut told: BTreeMap<String, i64> = BTreeMap::new();
    for event in events(database).await {
        let date = event.business_date;
        let mut tell = |what: &str, amount: &Amount, sign: i64| {
            let what = format!("{date} {what} {}", amount.currency);
            *told.entry(what).or_default() += amount.minor_units * sign;
        };
        let account = |method: Method| match method {
            Method::Cash => "CASH",
            Method::Card => "CARD",
            Method::Transfer => "TRANSFER",
        };
        match event.change {
            BillingChange::InvoiceIssued { total, tax, .. } => {
                tell("INVOICE_ISSUED REVENUE", &total, -1);
                tell("INVOICE_ISSUED REVENUE", &tax, 1);
                tell("INVOICE_ISSUED TAX", &tax, -1);
            }
            BillingChange::InvoiceVoided { total, tax, .. } => {
                tell("INVOICE_VOIDED REVENUE", &total, 1);
                tell("INVOICE_VOIDED REVENUE", &tax, -1);
                tell("INVOICE_VOIDED TAX", &tax, 1);
            }
            BillingChange::CreditNoteIssued { total, tax, .. } => {
                tell("CREDIT_NOTE_ISSUED REVENUE", &total, 1);
                tell("CREDIT_NOTE_ISSUED REVENUE", &tax, -1);
                tell("CREDIT_NOTE_ISSUED TAX", &tax, 1);
            }
            BillingChange::InvoiceWrittenOff { amount, .. } => {
                tell("INVOICE_WRITTEN_OFF BAD_DEBT", &amount, 1);
            }
            BillingChange::PaymentRecorded { amount, method, .. } => {
                tell(&format!("PAYMENT_RECORDED {}", account(method)), &amount, 1);
            }
            BillingChange::PaymentReversed { amount, method, .. } => {
                tell(
                    &format!("PAYMENT_REVERSED {}", account(method)),
                    &amount,
                    -1,
                );
            }
            BillingChange::RefundCompleted { amount, method, .. } => {
                tell(
                    &format!("REFUND_COMPLETED {}", account(method)),
                    &amount,
                    -1,
                );
            }
            BillingChange::InvoiceDueChanged {
                change, due_date, ..
            } => tell(&format!("due {due_date}"), &change, 1),
        }
    }
    told.retain(|_, amount| *amount != 0);
    assert_eq!(told, booked);
}

/// Whoever adds up the events of each day has the revenue, the takings and the aging of that day.
#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn the_events_of_each_day_say_what_the_books_say(database: PgPool) {
    let clock = SetClock::at("2026-01-30T12:00:00Z");
    let desk = Desk::of(&database, clock.clinic()).await;
    let patient = desk.patient().await;
    desk.price("TAXED", 999, 190_000).await;
    desk.charge(patient, "TAXED", 3).await;
    let draft = desk.draft(patient).await;
    let first = desk.issue(&draft.invoice_id).await.unwrap().invoice_id;
    clock.set("2026-01-31T12:00:00Z");
    let paid = desk.pay(patient, 4000, &[&first]).await.payment_id;
    clock.set("2026-02-28T12:00:00Z");
    credit(&desk, &first, Some(777)).await.unwrap();
    // What is left of the payment goes to the next one.
    desk.charge(patient, "TAXED", 10).await;
    let draft = desk.draft(patient).await;
    let second = desk.issue(&draft.invoice_id).await.unwrap().invoice_id;
    clock.set("2026-03-01T12:00:00Z");
    reverse(&desk, &paid).await.unwrap();
    write_off(&desk, &first).await.unwrap();
    void(&desk, &second).await.unwrap();
    let other = desk.pay(patient, 50, &[]).await.payment_id;
    let refund = request(&desk, &other, None).await.unwrap();
    approve(&desk, &refund).await.unwrap();
    clock.set("2026-06-01T12:00:00Z");
    complete(&desk, &refund).await.unwrap();
    assert_events_say_what_the_books_say(&database).await;
}
