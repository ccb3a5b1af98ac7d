//! The same request again has one effect and one answer; every change leaves one record.

use std::collections::HashSet;

use contracts::{
    billing::v1::{EraseBillingAccountRequest, payment_service_client::PaymentServiceClient},
    caller_metadata,
};
use futures::future::join_all;
use sqlx::PgPool;
use tonic::Code;

use crate::{
    desk::{Desk, assert_refused, payment, units},
    invoices::void,
    running::Running,
};

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn fifty_callers_with_one_key_have_one_effect(database: PgPool) {
    let desk = Desk::open(&database).await;
    let patient = desk.patient().await;
    let invoice = desk.invoiced(patient, 1000).await.invoice_id;
    let request = payment(patient, 300, &[&invoice]);
    let answers = join_all((0..50).map(|_| desk.record_payment(request.clone()))).await;
    let answers = answers
        .into_iter()
        .map(|answer| answer.unwrap().payment.unwrap());
    let ids: HashSet<String> = answers.map(|payment| payment.payment_id).collect();
    assert_eq!(ids.len(), 1);
    assert_eq!(units(&desk.invoice(&invoice).await.due), 700);

    let mut other = request.clone();
    other.amount = Some(crate::desk::eur(301));
    let reused = desk.record_payment(other).await;
    assert_refused(reused, Code::AlreadyExists, "IDEMPOTENCY_KEY_REUSED");
    let of_other_patient = contracts::billing::v1::RecordPaymentRequest {
        patient_id: desk.patient().await.to_string(),
        invoice_ids: Vec::new(),
        ..request.clone()
    };
    let reused = desk.record_payment(of_other_patient).await;
    assert_refused(reused, Code::AlreadyExists, "IDEMPOTENCY_KEY_REUSED");
    let of_colleague = desk.colleague().record_payment(request).await;
    assert_refused(of_colleague, Code::AlreadyExists, "IDEMPOTENCY_KEY_REUSED");
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_repetition_is_called_one(database: PgPool) {
    let running = Running::start(&database).await;
    let desk = Desk::at(&running);
    let patient = desk.patient().await;
    let mut payments = PaymentServiceClient::new(running.channel());
    let request = payment(patient, 300, &[]);
    let mut replayed = Vec::new();
    for _ in 0..2 {
        let answer = payments
            .record_payment(desk.request(request.clone()))
            .await
            .unwrap();
        replayed.push(answer.metadata().get(caller_metadata::REPLAYED).is_some());
    }
    assert_eq!(replayed, [false, true]);
}

/// The first answer, whatever has happened since.
#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_repeated_issue_gets_the_first_answer(database: PgPool) {
    use contracts::billing::v1::IssueInvoiceRequest;
    let desk = Desk::open(&database).await;
    let patient = desk.patient().await;
    desk.price("A", 100, 0).await;
    desk.charge(patient, "A", 1).await;
    let request = IssueInvoiceRequest {
        request_id: crate::desk::new_id(),
        invoice_id: desk.draft(patient).await.invoice_id,
        etag: "1".to_owned(),
    };
    let first = desk.issue_invoice(request.clone()).await.unwrap();
    void(&desk, &request.invoice_id).await.unwrap();
    assert_eq!(desk.issue_invoice(request).await.unwrap(), first);
}

/// What was answered is gone with the patient, but not that it was done.
#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn nothing_is_done_again_after_the_patient_was_erased(database: PgPool) {
    let running = Running::start(&database).await;
    let desk = Desk::at(&running);
    let patient = desk.patient().await;
    let request = payment(patient, 300, &[]);
    desk.record_payment(request.clone()).await.unwrap();
    let erase = EraseBillingAccountRequest {
        patient_id: patient.to_string(),
    };
    let mut accounts = running.generated_client();
    let erased = accounts.erase_billing_account(desk.request(erase));
    erased.await.unwrap();
    let again = desk.record_payment(request.clone()).await;
    assert_refused(again, Code::FailedPrecondition, "ANSWER_ERASED");
    let mut other = request;
    other.amount = Some(crate::desk::eur(301));
    let other = desk.record_payment(other).await;
    assert_refused(other, Code::AlreadyExists, "IDEMPOTENCY_KEY_REUSED");
    let (payments, answers): (i64, i64) = sqlx::query_as(
        "SELECT (SELECT count(*) FROM billing.payment), (SELECT count(answer) FROM billing.request
                 WHERE account_id IS NOT NULL)",
    )
    .fetch_one(&database)
    .await
    .unwrap();
    assert_eq!((payments, answers), (1, 0));
}

/// A refusal is not stored: the same key may try again when things have changed.
#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_refusal_leaves_the_key_free(database: PgPool) {
    let desk = Desk::open(&database).await;
    let patient = desk.patient().await;
    desk.price("A", 100, 0).await;
    desk.charge(patient, "A", 1).await;
    let draft = desk.draft(patient).await.invoice_id;
    let request = payment(patient, 100, &[&draft]);
    let early = desk.record_payment(request.clone()).await;
    assert_refused(early, Code::FailedPrecondition, "INVOICE_NOT_ISSUED");
    desk.issue(&draft).await.unwrap();
    let paid = desk.record_payment(request).await.unwrap().payment.unwrap();
    assert_eq!(units(&paid.allocated), 100);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn every_change_leaves_one_record(database: PgPool) {
    let desk = Desk::open(&database).await;
    let patient = desk.patient().await;
    let invoice = desk.invoiced(patient, 100).await.invoice_id;
    let request = payment(patient, 300, &[&invoice]);
    for _ in 0..3 {
        desk.record_payment(request.clone()).await.unwrap();
    }
    void(&desk, &invoice).await.unwrap();
    void(&desk, &invoice).await.unwrap_err();
    let records: Vec<(String, Option<String>, String, Option<String>)> = sqlx::query_as(
        "SELECT action, reason, resource_type, source FROM audit.record
         WHERE actor_id = $1 AND outcome = 'SUCCEEDED' ORDER BY occurred_at",
    )
    .bind(desk.user)
    .fetch_all(&database)
    .await
    .unwrap();
    let actions: Vec<&str> = records.iter().map(|(action, ..)| &**action).collect();
    assert_eq!(
        actions,
        [
            "SET_PRICE",
            "RECORD_CHARGE",
            "DRAFT_INVOICE",
            "ISSUE_INVOICE",
            "RECORD_PAYMENT",
            "VOID_INVOICE"
        ]
    );
    let (_, reason, resource, source) = records.last().unwrap();
    // Nothing is ever removed from the trail.
    assert_eq!(*reason, None);
    assert_eq!(
        (&**resource, source.as_deref()),
        ("INVOICE", Some("192.0.2.7"))
    );
}

/// A caller who gives up does not stop what was begun, and learns of it by asking again.
#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_change_goes_on_when_nobody_waits(database: PgPool) {
    let desk = Desk::open(&database).await;
    let patient = desk.patient().await;
    let mut lock = database.begin().await.unwrap();
    sqlx::query("SELECT FROM billing.account WHERE patient_id = $1 FOR UPDATE")
        .bind(patient)
        .execute(&mut *lock)
        .await
        .unwrap();
    let request = payment(patient, 300, &[]);
    let call = tokio::spawn({
        let (desk, request) = (desk.clone(), request.clone());
        async move { desk.record_payment(request).await }
    });
    crate::running::until_a_call_waits(&database).await;
    call.abort();
    lock.rollback().await.unwrap();
    crate::running::until(async || {
        let payments: i64 = sqlx::query_scalar("SELECT count(*) FROM billing.payment")
            .fetch_one(&database)
            .await
            .unwrap();
        payments == 1
    })
    .await;
    desk.record_payment(request).await.unwrap();
    let payments: i64 = sqlx::query_scalar("SELECT count(*) FROM billing.payment")
        .fetch_one(&database)
        .await
        .unwrap();
    assert_eq!(payments, 1);
}

/// PostgreSQL ends one of two transactions that wait for each other.
#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn callers_do_not_notice_that_a_transaction_gave_way(database: PgPool) {
    let desk = Desk::open(&database).await;
    let patient = desk.patient().await;
    sqlx::raw_sql(
        "CREATE SEQUENCE billing.attempt;
         CREATE FUNCTION billing.give_way() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN
             CASE nextval('billing.attempt')
                 WHEN 1 THEN RAISE EXCEPTION 'a deadlock' USING ERRCODE = 'deadlock_detected';
                 WHEN 3 THEN RAISE EXCEPTION 'no order' USING ERRCODE = 'serialization_failure';
                 WHEN 5, 6 THEN RAISE EXCEPTION 'again' USING ERRCODE = 'deadlock_detected';
                 ELSE RETURN NEW;
             END CASE;
         END $$;
         CREATE TRIGGER gives_way BEFORE INSERT ON billing.payment
             FOR EACH ROW EXECUTE FUNCTION billing.give_way()",
    )
    .execute(&database)
    .await
    .unwrap();
    for _ in 0..2 {
        desk.pay(patient, 100, &[]).await;
    }
    // Once, and then it is the caller who decides.
    let twice = desk.record_payment(payment(patient, 100, &[])).await;
    assert_eq!(twice.unwrap_err().code(), Code::Unavailable);
    let (payments, attempts): (i64, i64) = sqlx::query_as(
        "SELECT (SELECT count(*) FROM billing.payment), (SELECT last_value FROM billing.attempt)",
    )
    .fetch_one(&database)
    .await
    .unwrap();
    assert_eq!((payments, attempts), (2, 6));
}
