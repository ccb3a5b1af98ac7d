//! Requesting, approving, rejecting and completing refunds.

use contracts::billing::v1::{
    ApproveRefundRequest, CompleteRefundRequest, ListRefundsRequest, Refund, RefundState,
    RejectRefundRequest, RequestRefundRequest,
};
use futures::future::join_all;
use sqlx::PgPool;
use tonic::{Code, Status};

use crate::{
    desk::{Desk, assert_refused, eur, new_id, units},
    payments::reverse,
};

pub(crate) async fn request(
    desk: &Desk,
    payment: &str,
    amount: Option<i64>,
) -> Result<Refund, Status> {
    let requested = desk.request_refund(RequestRefundRequest {
        request_id: new_id(),
        payment_id: payment.to_owned(),
        amount: amount.map(eur),
        reason: "Paid twice".to_owned(),
        method: 0,
    });
    Ok(requested.await?.refund.unwrap())
}

pub(crate) async fn approve(desk: &Desk, refund: &Refund) -> Result<Refund, Status> {
    let approved = desk.approve_refund(ApproveRefundRequest {
        request_id: new_id(),
        refund_id: refund.refund_id.clone(),
        etag: String::new(),
    });
    Ok(approved.await?.refund.unwrap())
}

pub(crate) async fn reject(desk: &Desk, refund: &Refund) -> Result<Refund, Status> {
    let rejected = desk.reject_refund(RejectRefundRequest {
        request_id: new_id(),
        refund_id: refund.refund_id.clone(),
        etag: String::new(),
        reason: "It was not".to_owned(),
    });
    Ok(rejected.await?.refund.unwrap())
}

pub(crate) async fn complete(desk: &Desk, refund: &Refund) -> Result<Refund, Status> {
    let completed = desk.complete_refund(CompleteRefundRequest {
        request_id: new_id(),
        refund_id: refund.refund_id.clone(),
        etag: String::new(),
        reference: "T-1".to_owned(),
    });
    Ok(completed.await?.refund.unwrap())
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_refund_is_requested_approved_and_completed(database: PgPool) {
    let desk = Desk::open(&database).await;
    let patient = desk.patient().await;
    let payment = desk.pay(patient, 500, &[]).await.payment_id;
    let refund = request(&desk, &payment, Some(200)).await.unwrap();
    assert_eq!(refund.state(), RefundState::Requested);
    assert!(!refund.second_person_required);
    assert_eq!(units(&desk.payment(&payment).await.credit), 300);
    let early = complete(&desk, &refund).await;
    assert_refused(early, Code::FailedPrecondition, "REFUND_NOT_APPROVED");

    let approved = approve(&desk, &refund).await.unwrap();
    assert_eq!(approved.state(), RefundState::Approved);
    let again = approve(&desk, &refund).await;
    assert_refused(again, Code::FailedPrecondition, "REFUND_NOT_REQUESTED");
    let completed = complete(&desk, &refund).await.unwrap();
    assert_eq!(completed.state(), RefundState::Completed);
    assert_eq!(completed.completed_by, desk.user.to_string());
    assert_eq!(completed.reference, "T-1");
    let twice = complete(&desk, &refund).await;
    assert_refused(twice, Code::FailedPrecondition, "REFUND_NOT_APPROVED");
    let late = reject(&desk, &refund).await;
    assert_refused(late, Code::FailedPrecondition, "REFUND_CLOSED");

    // All that is left, if nobody says how much.
    assert_eq!(
        units(&request(&desk, &payment, None).await.unwrap().amount),
        300
    );
    let more = request(&desk, &payment, Some(1)).await;
    assert_refused(more, Code::FailedPrecondition, "CREDIT_EXCEEDED");
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_large_refund_needs_another_person(database: PgPool) {
    let desk = Desk::open(&database).await;
    let payment = desk.pay(desk.patient().await, 50_000, &[]).await.payment_id;
    let refund = request(&desk, &payment, Some(10_001)).await.unwrap();
    assert!(refund.second_person_required);
    let alone = approve(&desk, &refund).await;
    assert_refused(alone, Code::FailedPrecondition, "SECOND_PERSON_REQUIRED");
    let colleague = desk.colleague();
    let approved = approve(&colleague, &refund).await.unwrap();
    assert_eq!(approved.approved_by, colleague.user.to_string());
    // The first one may pay it out.
    complete(&desk, &refund).await.unwrap();
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn small_refunds_of_one_payment_add_up_to_a_large_one(database: PgPool) {
    let desk = Desk::open(&database).await;
    let payment = desk.pay(desk.patient().await, 50_000, &[]).await.payment_id;
    let first = request(&desk, &payment, Some(6_000)).await.unwrap();
    assert!(!first.second_person_required);
    let second = request(&desk, &payment, Some(6_000)).await.unwrap();
    assert!(second.second_person_required);
    let alone = approve(&desk, &second).await;
    assert_refused(alone, Code::FailedPrecondition, "SECOND_PERSON_REQUIRED");
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_rejected_refund_gives_the_credit_back(database: PgPool) {
    let desk = Desk::open(&database).await;
    let payment = desk.pay(desk.patient().await, 500, &[]).await.payment_id;
    let refund = request(&desk, &payment, None).await.unwrap();
    approve(&desk, &refund).await.unwrap();
    let rejected = reject(&desk, &refund).await.unwrap();
    assert_eq!(rejected.state(), RefundState::Rejected);
    assert_eq!(rejected.rejection_reason, "It was not");
    assert_eq!(units(&desk.payment(&payment).await.credit), 500);
    let late = complete(&desk, &refund).await;
    assert_refused(late, Code::FailedPrecondition, "REFUND_NOT_APPROVED");
    let listed = desk.list_refunds(ListRefundsRequest {
        payment_id: payment,
        ..ListRefundsRequest::default()
    });
    assert_eq!(listed.await.unwrap().refunds, [rejected]);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn refunds_at_once_never_come_to_more_than_there_is(database: PgPool) {
    let desk = Desk::open(&database).await;
    let payment = desk.pay(desk.patient().await, 500, &[]).await.payment_id;
    let requests = join_all((0..10).map(|_| request(&desk, &payment, Some(200)))).await;
    let (won, lost): (Vec<_>, Vec<_>) = requests.into_iter().partition(Result::is_ok);
    assert_eq!(won.len(), 2);
    for lost in lost {
        assert_refused(lost, Code::FailedPrecondition, "CREDIT_EXCEEDED");
    }
    let refund = won.into_iter().next().unwrap().unwrap();
    approve(&desk, &refund).await.unwrap();
    let completed = join_all((0..10).map(|_| complete(&desk, &refund))).await;
    assert_eq!(completed.iter().filter(|result| result.is_ok()).count(), 1);
    let reversed = reverse(&desk, &payment).await;
    assert_refused(reversed, Code::FailedPrecondition, "PAYMENT_REFUNDED");
}

/// What is being refunded is not used by the next invoice.
#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_requested_refund_is_no_credit(database: PgPool) {
    let desk = Desk::open(&database).await;
    let patient = desk.patient().await;
    let payment = desk.pay(patient, 500, &[]).await.payment_id;
    let refund = request(&desk, &payment, Some(400)).await.unwrap();
    let invoice = desk.invoiced(patient, 300).await;
    assert_eq!(units(&invoice.allocated), 100);
    approve(&desk, &refund).await.unwrap();
    complete(&desk, &refund).await.unwrap();
}
