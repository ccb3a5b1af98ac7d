//! Calls that take too long, calls beyond the limit, and calls that run while the service stops.

use std::time::Duration;

use billing::service::Limits;
use sqlx::PgPool;
use tokio::net::TcpStream;
use tonic::Code;
use uuid::Uuid;

use crate::running::{Running, create, get, hold, until, until_a_call_waits, with_token, within};

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_call_ends_at_the_deadline_of_the_service(database: PgPool) {
    let limits = Limits {
        deadline: Duration::from_millis(100),
        ..Limits::default()
    };
    let mut billing = Running::start_with(&database, limits)
        .await
        .generated_client();
    let patient = Uuid::now_v7();
    let half_way = hold(&database, patient).await;

    let call = billing.create_billing_account(with_token(create(patient)));
    let refusal = within(call).await.unwrap_err();
    assert_eq!(refusal.code(), Code::DeadlineExceeded, "{refusal}");

    half_way.rollback().await.unwrap();
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_call_ends_at_the_deadline_of_its_caller(database: PgPool) {
    let limits = Limits {
        deadline: Duration::from_hours(1),
        ..Limits::default()
    };
    let mut billing = Running::start_with(&database, limits)
        .await
        .generated_client();
    let patient = Uuid::now_v7();
    let half_way = hold(&database, patient).await;

    let mut request = with_token(create(patient));
    request.set_timeout(Duration::from_millis(300));
    let refusal = within(billing.create_billing_account(request))
        .await
        .unwrap_err();
    // tonic's client returns Cancelled if its own timer fires first.
    assert!(
        matches!(refusal.code(), Code::DeadlineExceeded | Code::Cancelled),
        "{refusal}"
    );

    half_way.rollback().await.unwrap();
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_call_beyond_the_limit_is_rejected_at_once(database: PgPool) {
    let limits = Limits {
        calls_at_a_time: 1,
        ..Limits::default()
    };
    let mut billing = Running::start_with(&database, limits)
        .await
        .generated_client();
    let patient = Uuid::now_v7();
    let half_way = hold(&database, patient).await;
    let mut same = billing.clone();
    let call = tokio::spawn(async move {
        same.create_billing_account(with_token(create(patient)))
            .await
    });
    until_a_call_waits(&database).await;

    let refusal = billing
        .get_billing_account(with_token(get(patient)))
        .await
        .unwrap_err();
    assert_eq!(refusal.code(), Code::ResourceExhausted);

    half_way.commit().await.unwrap();
    within(call).await.unwrap().unwrap();
    billing
        .get_billing_account(with_token(get(patient)))
        .await
        .unwrap();
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_stop_lets_running_calls_finish_and_accepts_no_more(database: PgPool) {
    let running = Running::start(&database).await;
    let mut billing = running.generated_client();
    let patient = Uuid::now_v7();
    let half_way = hold(&database, patient).await;
    let call = tokio::spawn(async move {
        billing
            .create_billing_account(with_token(create(patient)))
            .await
    });
    until_a_call_waits(&database).await;

    running.ask_to_stop();
    until(async || TcpStream::connect(running.address).await.is_err()).await;
    assert!(!call.is_finished());

    half_way.commit().await.unwrap();
    let answer = within(call).await.unwrap().unwrap().into_inner();
    assert_eq!(answer.account.unwrap().patient_id, patient.to_string());
    running.stop().await;
}
