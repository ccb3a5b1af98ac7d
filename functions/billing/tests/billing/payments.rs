//! Recording, allocating and reversing payments.

use contracts::billing::v1::{
    AllocatePaymentRequest, AllocationRequest, ListPaymentsRequest, Payment, PaymentMethod,
    PaymentState, RecordPaymentRequest, ReversePaymentRequest,
};
use futures::future::join_all;
use sqlx::PgPool;
use tonic::{Code, Status};

use crate::{
    desk::{Desk, assert_refused, eur, fields, money, new_id, payment, units},
    invoices::void,
};

pub(crate) async fn allocate(
    desk: &Desk,
    payment: &str,
    parts: &[(&str, Option<i64>)],
) -> Result<Payment, Status> {
    let allocations = parts.iter().map(|(invoice, amount)| AllocationRequest {
        invoice_id: (*invoice).to_owned(),
        amount: amount.map(eur),
    });
    let allocated = desk.allocate_payment(AllocatePaymentRequest {
        request_id: new_id(),
        payment_id: payment.to_owned(),
        etag: String::new(),
        allocations: allocations.collect(),
    });
    Ok(allocated.await?.payment.unwrap())
}

pub(crate) async fn reverse(desk: &Desk, payment: &str) -> Result<Payment, Status> {
    let reversed = desk.reverse_payment(ReversePaymentRequest {
        request_id: new_id(),
        payment_id: payment.to_owned(),
        etag: String::new(),
        reason: "It bounced".to_owned(),
    });
    Ok(reversed.await?.payment.unwrap())
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_payment_is_for_invoices_in_their_order(database: PgPool) {
    let desk = Desk::open(&database).await;
    let patient = desk.patient().await;
    let first = desk.invoiced(patient, 300).await.invoice_id;
    let second = desk.invoiced(patient, 500).await.invoice_id;
    let paid = desk.pay(patient, 600, &[&second, &first]).await;
    assert_eq!((units(&paid.allocated), units(&paid.credit)), (600, 0));
    // In the order of their numbers.
    let parts: Vec<_> = paid
        .allocations
        .iter()
        .map(|part| units(&part.amount))
        .collect();
    assert_eq!(parts, [100, 500]);
    assert_eq!(units(&desk.invoice(&second).await.due), 0);
    assert_eq!(units(&desk.invoice(&first).await.due), 200);

    let over = desk.pay(patient, 250, &[&first]).await;
    assert_eq!((units(&over.allocated), units(&over.credit)), (200, 50));
    let unallocated = desk.pay(patient, 70, &[]).await;
    assert_eq!(
        (units(&unallocated.allocated), units(&unallocated.credit)),
        (0, 70)
    );
}

/// What is paid beyond what is due is credit, and the next invoice uses it.
#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn fifty_payments_at_once_pay_an_invoice_once(database: PgPool) {
    let desk = Desk::open(&database).await;
    let patient = desk.patient().await;
    let invoice = desk.invoiced(patient, 1000).await.invoice_id;
    let paid = join_all((0..50).map(|_| async { desk.pay(patient, 30, &[&invoice]).await })).await;
    let allocated: i64 = paid.iter().map(|payment| units(&payment.allocated)).sum();
    let credit: i64 = paid.iter().map(|payment| units(&payment.credit)).sum();
    assert_eq!((allocated, credit), (1000, 500));
    let settled = desk.invoice(&invoice).await;
    assert_eq!((units(&settled.due), units(&settled.allocated)), (0, 1000));

    let next = desk.invoiced(patient, 700).await;
    assert_eq!((units(&next.allocated), units(&next.due)), (500, 200));
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn credit_is_allocated_by_hand(database: PgPool) {
    let desk = Desk::open(&database).await;
    let patient = desk.patient().await;
    let (first, second) = (
        desk.invoiced(patient, 300).await.invoice_id,
        desk.invoiced(patient, 500).await.invoice_id,
    );
    let paid = desk.pay(patient, 600, &[]).await.payment_id;
    let allocated = allocate(&desk, &paid, &[(&first, Some(100)), (&second, None)])
        .await
        .unwrap();
    assert_eq!(
        (units(&allocated.allocated), units(&allocated.credit)),
        (600, 0)
    );
    assert_eq!(units(&desk.invoice(&first).await.due), 200);
    let more = allocate(&desk, &paid, &[(&first, Some(1))]).await;
    assert_refused(more, Code::FailedPrecondition, "CREDIT_EXCEEDED");

    let other = desk.pay(patient, 600, &[]).await.payment_id;
    let too_much = allocate(&desk, &other, &[(&first, Some(201))]).await;
    assert_refused(too_much, Code::FailedPrecondition, "DUE_EXCEEDED");
    let settled = allocate(&desk, &other, &[(&second, None)]).await;
    assert_refused(settled, Code::FailedPrecondition, "DUE_EXCEEDED");
    let stale = desk.allocate_payment(AllocatePaymentRequest {
        request_id: new_id(),
        payment_id: other,
        etag: "0".to_owned(),
        allocations: vec![AllocationRequest {
            invoice_id: first,
            amount: None,
        }],
    });
    assert_refused(stale.await, Code::Aborted, "STALE_ETAG");
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_payment_is_for_invoices_of_its_patient_and_currency_that_stand(database: PgPool) {
    let desk = Desk::open(&database).await;
    let (patient, other) = (desk.patient().await, desk.patient().await);
    let of_other = desk.invoiced(other, 100).await.invoice_id;
    let refused = desk.record_payment(payment(patient, 1, &[&of_other])).await;
    assert_eq!(fields(&refused.unwrap_err()), ["invoiceIds[0]"]);
    let own = desk.invoiced(patient, 100).await.invoice_id;
    let in_yen = RecordPaymentRequest {
        amount: Some(money("JPY", 1)),
        ..payment(patient, 1, &[&own])
    };
    assert_eq!(
        fields(&desk.record_payment(in_yen).await.unwrap_err()),
        ["invoiceIds[0]"]
    );
    void(&desk, &own).await.unwrap();
    let paid = desk.record_payment(payment(patient, 1, &[&own])).await;
    assert_refused(paid, Code::FailedPrecondition, "INVOICE_NOT_ISSUED");
    let draft = desk.draft(patient).await.invoice_id;
    let paid = desk.record_payment(payment(patient, 1, &[&draft])).await;
    assert_refused(paid, Code::FailedPrecondition, "INVOICE_NOT_ISSUED");
    let nothing = RecordPaymentRequest {
        amount: Some(eur(0)),
        method: 0,
        ..payment(patient, 1, &[])
    };
    let status = desk.record_payment(nothing).await.unwrap_err();
    assert_eq!(fields(&status), ["amount", "method"]);
    // Nothing of all this was recorded.
    let payments: i64 = sqlx::query_scalar("SELECT count(*) FROM billing.payment")
        .fetch_one(&database)
        .await
        .unwrap();
    assert_eq!(payments, 0);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn the_same_transfer_is_recorded_once_for_ever(database: PgPool) {
    let desk = Desk::open(&database).await;
    let (patient, other) = (desk.patient().await, desk.patient().await);
    let transfer = |patient, method: PaymentMethod| RecordPaymentRequest {
        method: method.into(),
        reference: "RF18 5390 0754".to_owned(),
        ..payment(patient, 100, &[])
    };
    let at_once = (0..10).map(|_| desk.record_payment(transfer(patient, PaymentMethod::Transfer)));
    let recorded = join_all(at_once).await;
    let (won, lost): (Vec<_>, Vec<_>) = recorded.into_iter().partition(Result::is_ok);
    assert_eq!(won.len(), 1);
    for lost in lost {
        assert_refused(lost, Code::AlreadyExists, "PAYMENT_KNOWN");
    }
    // Whoever it is for, and whatever was stored about requests.
    sqlx::query("DELETE FROM billing.request")
        .execute(&database)
        .await
        .unwrap();
    let again = desk
        .record_payment(transfer(other, PaymentMethod::Transfer))
        .await;
    assert_refused(again, Code::AlreadyExists, "PAYMENT_KNOWN");
    desk.record_payment(transfer(other, PaymentMethod::Card))
        .await
        .unwrap();
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn what_a_bounced_payment_paid_is_due_again(database: PgPool) {
    let desk = Desk::open(&database).await;
    let patient = desk.patient().await;
    let invoice = desk.invoiced(patient, 300).await.invoice_id;
    let paid = desk.pay(patient, 400, &[&invoice]).await.payment_id;
    let reversed = reverse(&desk, &paid).await.unwrap();
    assert_eq!(reversed.state(), PaymentState::Reversed);
    assert_eq!(
        (units(&reversed.allocated), units(&reversed.credit)),
        (0, 0)
    );
    assert_eq!(reversed.allocations, []);
    assert_eq!(units(&desk.invoice(&invoice).await.due), 300);
    let again = reverse(&desk, &paid).await;
    assert_refused(again, Code::FailedPrecondition, "PAYMENT_REVERSED");
    let used = allocate(&desk, &paid, &[(&invoice, None)]).await;
    assert_refused(used, Code::FailedPrecondition, "PAYMENT_REVERSED");
}

/// Whichever comes first: nothing is left of the payment on an invoice that is void.
#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_void_and_a_payment_meet(database: PgPool) {
    let desk = Desk::open(&database).await;
    for _ in 0..8 {
        let patient = desk.patient().await;
        let invoice = desk.invoiced(patient, 300).await.invoice_id;
        let (voided, paid) = tokio::join!(
            void(&desk, &invoice),
            desk.record_payment(payment(patient, 300, &[&invoice]))
        );
        let voided = voided.unwrap();
        match paid {
            Ok(paid) => {
                let id = paid.payment.unwrap().payment_id;
                assert_eq!(units(&desk.payment(&id).await.credit), 300);
            }
            refused => assert_refused(refused, Code::FailedPrecondition, "INVOICE_NOT_ISSUED"),
        }
        assert_eq!(units(&voided.allocated), 0);
    }
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn payments_are_listed(database: PgPool) {
    let desk = Desk::open(&database).await;
    let (patient, restricted) = (desk.patient().await, desk.patient().await);
    for amount in 1..=5 {
        desk.pay(patient, amount, &[]).await;
    }
    desk.pay(restricted, 6, &[]).await;
    crate::charges::restrict(&database, restricted).await;
    let (mut amounts, mut token) = (Vec::new(), String::new());
    loop {
        let page = desk.list_payments(ListPaymentsRequest {
            page_size: 2,
            page_token: token,
            ..ListPaymentsRequest::default()
        });
        let page = page.await.unwrap();
        amounts.extend(page.payments.iter().map(|payment| units(&payment.amount)));
        // Whatever comes meanwhile is on no later page.
        desk.pay(patient, 100, &[]).await;
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(amounts, [5, 4, 3, 2, 1]);
}
