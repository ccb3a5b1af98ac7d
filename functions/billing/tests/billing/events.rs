//! What the rest of the system hears of: written with what makes it true, and of nothing else.

use events::{BillingChange, BillingEvent, Event as _};
use sqlx::PgPool;
use uuid::Uuid;

use crate::{
    desk::{Desk, payment},
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

    let events = events(&database).await;
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
