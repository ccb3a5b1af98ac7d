//! The client against the service.

use std::{net::SocketAddr, sync::Arc};

use billing::service::Limits;
use billing_client::{Account, AccountStatus, BilledTo, BillingClient, BillingError};
use chrono::{DateTime, Utc};
use sqlx::PgPool;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::Notify,
};
use uuid::Uuid;

use crate::running::{Running, TOKEN, nowhere, within};

const ZOE: BilledTo<'static> = BilledTo::of("Zoë", "zoe@clinic.example");

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn the_client_opens_and_finds_accounts(database: PgPool) {
    let billing = Running::start(&database).await.client();
    let patient = Uuid::now_v7();
    assert_eq!(billing.get_account(patient).await.unwrap(), None);

    let opened = billing.create_account(patient, &ZOE).await.unwrap();
    assert_eq!(opened.patient_id, patient);
    assert_eq!(opened.status, AccountStatus::Active);
    assert_eq!(billing.get_account(patient).await.unwrap(), Some(opened));
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn the_client_closes_accounts_for_good(database: PgPool) {
    let billing = Running::start(&database).await.client();
    let patient = Uuid::now_v7();
    let no_account = billing.close_account(patient).await;
    assert!(
        matches!(no_account, Err(BillingError::Failed(_))),
        "{no_account:?}"
    );

    let open = async || {
        let opened = billing.create_account(patient, &ZOE);
        opened.await.unwrap()
    };
    let opened = open().await;
    let other = Uuid::now_v7();
    let account = billing.create_account(other, &ZOE);
    let untouched = account.await.unwrap();
    let closed = billing.close_account(patient).await.unwrap();
    assert_eq!(
        closed,
        Account {
            status: AccountStatus::Closed,
            ..opened
        }
    );
    // A caller that got no response repeats its calls, possibly in the original order.
    let at = closed_at(&database, patient).await;
    assert!(at.is_some());
    assert_eq!(billing.close_account(patient).await.unwrap(), closed);
    assert_eq!(open().await, closed);
    assert_eq!(closed_at(&database, patient).await, at);
    let found = billing.get_account(patient).await.unwrap();
    assert_eq!(found, Some(closed));
    let found = billing.get_account(other).await.unwrap();
    assert_eq!(found, Some(untouched));
}

async fn closed_at(database: &PgPool, patient: Uuid) -> Option<DateTime<Utc>> {
    sqlx::query_scalar("SELECT closed_at FROM billing.account WHERE patient_id = $1")
        .bind(patient)
        .fetch_one(database)
        .await
        .unwrap()
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn the_clients_errors_say_what_to_do(database: PgPool) {
    let running = Running::start(&database).await;
    let refused = running
        .client()
        .create_account(Uuid::now_v7(), &BilledTo::of("", "zoe@clinic.example"))
        .await;
    assert!(
        matches!(refused, Err(BillingError::Refused(_))),
        "{refused:?}"
    );

    let stranger = BillingClient::new(&running.url(), "another-token-of-the-tests").unwrap();
    let refused = stranger.get_account(Uuid::now_v7()).await;
    assert!(
        matches!(refused, Err(BillingError::Unauthenticated)),
        "{refused:?}"
    );

    let without_database = Running::start(&nowhere()).await;
    let refused = without_database.client().get_account(Uuid::now_v7()).await;
    assert!(
        matches!(refused, Err(BillingError::Unavailable(_))),
        "{refused:?}"
    );
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn the_client_reconnects_after_a_restart(database: PgPool) {
    let first = Running::start(&database).await;
    let address = first.address;
    let billing = first.client();
    billing.get_account(Uuid::now_v7()).await.unwrap();

    first.stop().await;
    let refused = billing.get_account(Uuid::now_v7()).await;
    assert!(
        matches!(refused, Err(BillingError::Unavailable(_))),
        "{refused:?}"
    );

    // Stopping the service closed its pool.
    let database = PgPool::connect_with((*database.connect_options()).clone())
        .await
        .unwrap();
    let second = Running::start_at(address, &database, Limits::default()).await;
    billing.get_account(Uuid::now_v7()).await.unwrap();
    second.stop().await;
}

/// The process was frozen, or the network dropped the connection: neither end is told.
#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn the_client_replaces_a_connection_that_went_silent(database: PgPool) {
    let running = Running::start(&database).await;
    let silence = Arc::new(Notify::new());
    let proxy = proxy(running.address, Arc::clone(&silence)).await;
    let billing = BillingClient::new(&format!("http://{proxy}"), TOKEN).unwrap();
    billing.get_account(Uuid::now_v7()).await.unwrap();

    silence.notify_waiters();
    within(billing.get_account(Uuid::now_v7())).await.unwrap();
}

/// Forwards connections to `target`, until `silence` makes the existing ones swallow everything
/// without closing.
async fn proxy(target: SocketAddr, silence: Arc<Notify>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut near, _) = listener.accept().await.unwrap();
            let silence = Arc::clone(&silence);
            tokio::spawn(async move {
                let mut far = TcpStream::connect(target).await.unwrap();
                tokio::select! {
                    _ = copy_bidirectional(&mut near, &mut far) => {}
                    () = silence.notified() => std::future::pending().await,
                }
            });
        }
    });
    address
}
