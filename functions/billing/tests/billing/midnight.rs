//! One change has one date, wherever midnight at the clinic falls into it.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use billing::service::{Clinic, Clock};
use chrono::NaiveDate;
use contracts::billing::v1::IssueInvoiceRequest;
use events::BillingChange;
use sqlx::PgPool;
use zones::Zone;

use crate::{
    desk::{Desk, new_id, payment},
    events::events,
    invoices::{credit, void},
    payments::reverse,
    refunds::{approve, complete, request},
};

/// How often a change looks at the clock, at most.
const LOOKS: usize = 8;

/// A clock that strikes midnight, and a new year, after some looks at it.
#[derive(Clone)]
struct Striking(Arc<AtomicUsize>);

impl Striking {
    /// A clinic in Berlin that goes by it. It is long before midnight until it is wound up.
    fn clinic() -> (Self, Clinic) {
        let looks_left = Self(Arc::new(AtomicUsize::new(usize::MAX)));
        let clock = looks_left.clone();
        let clinic = Clinic {
            zone: Zone::named("Europe/Berlin").unwrap(),
            clock: Clock::showing(move || {
                let left = clock.0.load(Ordering::SeqCst);
                clock.0.store(left.saturating_sub(1), Ordering::SeqCst);
                let time = if left == 0 {
                    "2026-12-31T23:00:00Z"
                } else {
                    "2026-12-31T22:59:59Z"
                };
                time.parse().unwrap()
            }),
            ..Clinic::default()
        };
        (looks_left, clinic)
    }

    fn strike_after(&self, looks: usize) {
        self.0.store(looks, Ordering::SeqCst);
    }
}

/// All dates that a change has left, in the books and in what was announced.
async fn dates(database: &PgPool) -> Vec<NaiveDate> {
    sqlx::query_scalar(
        "SELECT DISTINCT date FROM (
             SELECT business_date AS date FROM billing.entry
             UNION ALL SELECT payment_date FROM billing.payment
             UNION ALL SELECT issue_date FROM billing.invoice WHERE issue_date IS NOT NULL
             UNION ALL SELECT (issued_at AT TIME ZONE 'Europe/Berlin')::date FROM billing.invoice
                       WHERE issued_at IS NOT NULL
             UNION ALL SELECT issue_date FROM billing.credit_note
         ) AS dated
         ORDER BY date",
    )
    .fetch_all(database)
    .await
    .unwrap()
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_payment_has_one_date(database: PgPool) {
    let (clock, clinic) = Striking::clinic();
    let desk = Desk::of(&database, clinic).await;
    for looks in 0..LOOKS {
        let patient = desk.patient().await;
        clock.strike_after(looks);
        desk.record_payment(payment(patient, 100, &[]))
            .await
            .unwrap();
    }
    let apart: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM billing.payment JOIN billing.entry ON payment_id = payment.id
         WHERE business_date <> payment_date",
    )
    .fetch_one(&database)
    .await
    .unwrap();
    assert_eq!(apart, 0);
    assert_eq!(dates(&database).await.len(), 2, "it has struck in between");
}

/// The number is of the year of its date.
#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn an_invoice_has_one_date(database: PgPool) {
    let (clock, clinic) = Striking::clinic();
    let desk = Desk::of(&database, clinic).await;
    desk.price("A", 100, 0).await;
    for looks in 0..LOOKS {
        clock.strike_after(usize::MAX);
        let patient = desk.patient().await;
        desk.charge(patient, "A", 1).await;
        let draft = desk.draft(patient).await.invoice_id;
        clock.strike_after(looks);
        let issued = desk.issue_invoice(IssueInvoiceRequest {
            request_id: new_id(),
            invoice_id: draft,
            etag: String::new(),
        });
        let issued = issued.await.unwrap().invoice.unwrap();
        let (year, date) = (&issued.number[..4], &issued.issue_date);
        assert!(date.starts_with(year), "{} {date}", issued.number);
        let time = issued.issue_time.unwrap().seconds;
        let begun = "2026-12-31T23:00:00Z"
            .parse::<chrono::DateTime<chrono::Utc>>()
            .unwrap();
        assert_eq!(time >= begun.timestamp(), date == "2027-01-01", "{date}");
        clock.strike_after(looks);
        credit(&desk, &issued.invoice_id, None).await.unwrap();
    }
    let apart: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM billing.entry
         LEFT JOIN billing.credit_note ON credit_note.id = credit_note_id
         LEFT JOIN billing.invoice ON invoice.id = entry.invoice_id
         WHERE business_date <> CASE kind WHEN 'INVOICE_ISSUED' THEN invoice.issue_date
                                          ELSE credit_note.issue_date END",
    )
    .fetch_one(&database)
    .await
    .unwrap();
    assert_eq!(apart, 0);
}

/// What is announced has the date of what was booked.
#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn what_is_announced_has_the_date_of_the_entry(database: PgPool) {
    let (clock, clinic) = Striking::clinic();
    let desk = Desk::of(&database, clinic).await;
    for looks in 0..LOOKS {
        clock.strike_after(usize::MAX);
        let patient = desk.patient().await;
        let invoice = desk.invoiced(patient, 100).await.invoice_id;
        let (kept, bounced) = (
            desk.pay(patient, 50, &[]).await.payment_id,
            desk.pay(patient, 60, &[]).await.payment_id,
        );
        let refund = request(&desk, &kept, None).await.unwrap();
        approve(&desk, &refund).await.unwrap();
        sqlx::query("DELETE FROM billing.outbox")
            .execute(&database)
            .await
            .unwrap();
        clock.strike_after(looks);
        void(&desk, &invoice).await.unwrap();
        clock.strike_after(looks);
        reverse(&desk, &bounced).await.unwrap();
        clock.strike_after(looks);
        complete(&desk, &refund).await.unwrap();
        let booked: Vec<NaiveDate> = sqlx::query_scalar(
            "SELECT business_date FROM billing.entry JOIN billing.account ON account.id = account_id
             WHERE patient_id = $1
                 AND kind IN ('INVOICE_VOIDED', 'PAYMENT_REVERSED', 'REFUND_COMPLETED')
             ORDER BY number",
        )
        .bind(patient)
        .fetch_all(&database)
        .await
        .unwrap();
        let announced = events(&database).await;
        let announced = announced
            .iter()
            .filter(|event| !matches!(event.change, BillingChange::InvoiceDueChanged { .. }));
        let announced: Vec<NaiveDate> = announced.map(|event| event.business_date).collect();
        assert_eq!(announced, booked, "looks {looks}");
    }
}
