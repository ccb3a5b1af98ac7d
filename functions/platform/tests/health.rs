//! The health of a system whose parts are up, down, or silent.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test may end here"
)]

use std::{net::TcpListener, sync::Arc};

use axum::body::Body;
use billing_client::BillingClient;
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use kafka::Cluster;
use platform::health::{Dependencies, Health, HealthState, routes};
use sqlx::{PgPool, postgres::PgPoolOptions};
use tower::ServiceExt as _;

/// Accepts connections, as the operating system does for a listener, and says nothing.
fn silent() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (listener, address)
}

fn nobody() -> String {
    let (listener, address) = silent();
    drop(listener);
    address
}

fn billing(address: &str) -> BillingClient {
    BillingClient::new(&format!("http://{address}"), "token").unwrap()
}

async fn health(dependencies: Dependencies) -> (StatusCode, String, Health) {
    let request = Request::get("/health").body(Body::empty()).unwrap();
    let response = api::around(
        "health",
        api::AllowedOrigins::default(),
        routes(dependencies),
    )
    .oneshot(request)
    .await
    .unwrap();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let body = String::from_utf8(body.to_vec()).unwrap();
    let health = serde_json::from_str(&body).unwrap();
    (status, body, health)
}

#[sqlx::test(migrations = false)]
async fn what_is_down_is_told_from_what_is_up(database: PgPool) {
    let nobody = nobody();
    let (status, body, health) = health(Dependencies {
        database,
        billing: billing(&nobody),
        kafka: Arc::new(Cluster::unprotected(&nobody).into()),
    })
    .await;

    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(health.status, HealthState::Down);
    assert_eq!(health.checks.database.status, HealthState::Up);
    assert_eq!(health.checks.billing.status, HealthState::Down);
    assert_eq!(health.checks.kafka.status, HealthState::Down);
    assert!(!body.contains(&nobody), "{body}");
    assert!(!body.contains("refused"), "{body}");
}

#[tokio::test]
async fn silence_is_down_and_everybody_is_waited_for_at_once() {
    let (_database, database) = silent();
    let (_billing, billing_address) = silent();
    let (_kafka, kafka) = silent();
    let dependencies = Dependencies {
        database: PgPoolOptions::new()
            .connect_lazy(&format!("postgres://nobody@{database}/none"))
            .unwrap(),
        billing: billing(&billing_address),
        kafka: Arc::new(Cluster::unprotected(&kafka).into()),
    };

    let started = std::time::Instant::now();
    let (status, _, health) = health(dependencies).await;
    let all_together = started.elapsed().as_millis();

    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    let checks = [
        health.checks.database,
        health.checks.billing,
        health.checks.kafka,
    ];
    assert!(checks.iter().all(|check| check.status == HealthState::Down));
    let one_by_one: u64 = checks.iter().map(|check| check.latency_ms).sum();
    assert!(
        all_together < u128::from(one_by_one),
        "{all_together} ms for {checks:?}"
    );
}
