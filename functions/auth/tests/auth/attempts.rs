use api::TrustedProxies;
use auth::{access::Access, create_users::PasswordRules, login};
use axum::{Router, body::Body, response::Response};
use http::{Request, StatusCode, header};
use serde_json::json;
use sqlx::PgPool;

use crate::{
    aws::Aws,
    fixtures::{Deployment, LIFETIMES, no_attempts, no_sessions},
    from_source, json, send,
};

const EMAIL: &str = "zoe@clinic.example";
const PASSWORD: &str = "correct horse battery";

async fn with_a_user(database: &PgPool) {
    let users = json!({ "users": [{ "email": EMAIL, "password": PASSWORD, "role": "AUDITOR" }] });
    auth::create_users::create_users(database, PasswordRules::Full, users)
        .await
        .unwrap();
}

async fn log_in(routes: &Router, source: &str, email: &str, password: &str) -> Response {
    let body = json!({ "email": email, "password": password });
    let request = Request::post("/auth/login")
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from(body.to_string()))
        .unwrap();
    send(routes, from_source(request, source)).await
}

async fn routes(database: &PgPool, deployment: &Deployment) -> Router {
    let attempts = deployment.attempts().await;
    login::routes(database.clone(), deployment.access().await, attempts)
}

/// Fails until an attempt is rejected as too early, and returns how many failed before that.
async fn fail_until_blocked(routes: &Router, source: &str, email: &str) -> usize {
    for tries in 0..20 {
        let response = log_in(routes, source, email, "a wrong password").await;
        match response.status() {
            StatusCode::UNAUTHORIZED => {}
            StatusCode::TOO_MANY_REQUESTS => {
                let seconds = response.headers()[header::RETRY_AFTER].to_str().unwrap();
                assert!((1..=300).contains(&seconds.parse::<u32>().unwrap()));
                let problem = json(response).await;
                assert_eq!(
                    problem["type"],
                    "urn:patient-management:problem:too-many-requests"
                );
                return tries;
            }
            other => panic!("{other}"),
        }
    }
    panic!("no attempt was blocked");
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn login_is_blocked_after_too_many_failures_whether_or_not_the_account_exists(
    database: PgPool,
) {
    let deployment = Deployment::early_in_a_window().await;
    let routes = routes(&database, &deployment).await;
    with_a_user(&database).await;
    for email in ["nobody@clinic.example", EMAIL] {
        assert_eq!(fail_until_blocked(&routes, "192.0.2.1", email).await, 10);
    }
    // Not even with the right password, nor from another source.
    for source in ["192.0.2.1", "198.51.100.1"] {
        let response = log_in(&routes, source, EMAIL, PASSWORD).await;
        assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    }
    // Other accounts are not affected.
    let response = log_in(&routes, "192.0.2.1", "other@clinic.example", PASSWORD).await;
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn failures_elsewhere_do_not_block_login_from_a_known_source(database: PgPool) {
    let deployment = Deployment::early_in_a_window().await;
    let routes = routes(&database, &deployment).await;
    with_a_user(&database).await;
    let home = "192.0.2.7";
    assert_eq!(
        log_in(&routes, home, EMAIL, PASSWORD).await.status(),
        StatusCode::OK
    );
    fail_until_blocked(&routes, "198.51.100.1", EMAIL).await;
    for _ in 0..3 {
        assert_eq!(
            log_in(&routes, home, EMAIL, PASSWORD).await.status(),
            StatusCode::OK
        );
    }
    // Guessing from a known source is limited as well.
    fail_until_blocked(&routes, home, EMAIL).await;
    let response = log_in(&routes, home, EMAIL, PASSWORD).await;
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn concurrent_guesses_gain_nothing_over_sequential_ones(database: PgPool) {
    let deployment = Deployment::early_in_a_window().await;
    let routes = routes(&database, &deployment).await;
    with_a_user(&database).await;
    guess_at_once(&routes, 10).await;
    // After the longest wait, one guess may be made, not one in each of many requests.
    deployment.failed_earlier(301).await;
    guess_at_once(&routes, 1).await;
}

/// Makes 40 guesses concurrently, and expects this many of them to be checked.
async fn guess_at_once(routes: &Router, expected: usize) {
    let mut guesses = tokio::task::JoinSet::new();
    for n in 0..40 {
        let routes = routes.clone();
        guesses.spawn(async move {
            let password = format!("a wrong password {n}");
            log_in(&routes, "192.0.2.1", EMAIL, &password)
                .await
                .status()
        });
    }
    let statuses = guesses.join_all().await;
    let checked = statuses
        .iter()
        .filter(|status| **status == StatusCode::UNAUTHORIZED)
        .count();
    assert_eq!(checked, expected, "of 40");
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn successful_logins_are_not_limited(database: PgPool) {
    let deployment = Deployment::early_in_a_window().await;
    let routes = routes(&database, &deployment).await;
    with_a_user(&database).await;
    for _ in 0..15 {
        let response = log_in(&routes, "192.0.2.1", EMAIL, PASSWORD).await;
        assert_eq!(response.status(), StatusCode::OK);
    }
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn login_may_be_tried_again_after_the_wait(database: PgPool) {
    let deployment = Deployment::early_in_a_window().await;
    let routes = routes(&database, &deployment).await;
    with_a_user(&database).await;
    assert_eq!(fail_until_blocked(&routes, "192.0.2.1", EMAIL).await, 10);
    deployment.failed_earlier(8).await;
    assert_eq!(fail_until_blocked(&routes, "192.0.2.1", EMAIL).await, 1);
    deployment.failed_earlier(16).await;
    let response = log_in(&routes, "192.0.2.1", EMAIL, PASSWORD).await;
    assert_eq!(response.status(), StatusCode::OK);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_login_that_fails_because_of_an_outage_does_not_count(database: PgPool) {
    let deployment = Deployment::early_in_a_window().await;
    with_a_user(&database).await;
    let works = routes(&database, &deployment).await;

    let no_key = Aws::empty().await.signing_key();
    let access = Access::new(no_key, deployment.sessions().await, LIFETIMES);
    let without_key = login::routes(database.clone(), access, deployment.attempts().await);

    let options = database.connect_options();
    let no_database = PgPool::connect_with((*options).clone()).await.unwrap();
    let without_database = routes(&no_database, &deployment).await;
    no_database.close().await;

    let access = Access::new(deployment.aws.signing_key(), no_sessions(), LIFETIMES);
    let without_sessions = login::routes(database.clone(), access, deployment.attempts().await);

    for broken in [without_key, without_database, without_sessions] {
        for _ in 0..12 {
            let response = log_in(&broken, "192.0.2.1", EMAIL, PASSWORD).await;
            assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        }
        let response = log_in(&works, "192.0.2.1", EMAIL, PASSWORD).await;
        assert_eq!(response.status(), StatusCode::OK);
    }
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn login_is_rejected_while_attempts_cannot_be_counted(database: PgPool) {
    let deployment = Deployment::early_in_a_window().await;
    let access = deployment.access().await;
    let routes = login::routes(database.clone(), access, no_attempts());
    with_a_user(&database).await;
    let response = log_in(&routes, "192.0.2.1", EMAIL, PASSWORD).await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
}

/// A whole clinic has one public address.
#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn failures_at_one_desk_do_not_block_login_at_the_others(database: PgPool) {
    let deployment = Deployment::early_in_a_window().await;
    let routes = routes(&database, &deployment).await;
    with_a_user(&database).await;
    let clinic = "192.0.2.1";
    log_in(&routes, clinic, "desk@clinic.example", "a wrong password").await;
    deployment.came_more_often(600).await;
    let response = log_in(&routes, clinic, EMAIL, PASSWORD).await;
    assert_eq!(response.status(), StatusCode::OK);
    // No clinic makes that many attempts.
    deployment.came_more_often(400).await;
    let response = log_in(&routes, clinic, EMAIL, PASSWORD).await;
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
}

/// Behind a proxy, the gateway sees the same address for everybody.
#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn behind_a_trusted_proxy_the_source_is_the_address_that_the_proxy_reports(database: PgPool) {
    let deployment = Deployment::early_in_a_window().await;
    with_a_user(&database).await;
    let routes = routes(&database, &deployment).await;
    let proxies = TrustedProxies::parse("203.0.113.0/24").unwrap();
    let routes = routes.layer(axum::Extension(proxies));
    let log_in = async |proxy: &str, forwarded: &str, password: &str| {
        let body = json!({ "email": EMAIL, "password": password });
        let request = Request::post("/auth/login")
            .header(header::CONTENT_TYPE, "application/json")
            .header("x-forwarded-for", forwarded)
            .body(Body::from(body.to_string()))
            .unwrap();
        send(&routes, from_source(request, proxy)).await.status()
    };
    // Home is a known source, behind the proxy.
    let home = "192.0.2.7, 203.0.113.5";
    assert_eq!(log_in("203.0.113.5", home, PASSWORD).await, StatusCode::OK);
    for _ in 0..11 {
        log_in("203.0.113.5", "198.51.100.1", "a wrong password").await;
    }
    assert_eq!(log_in("203.0.113.9", home, PASSWORD).await, StatusCode::OK);
    // Nobody else can claim that address: neither through the proxy nor around it.
    for (peer, forged) in [
        ("203.0.113.5", "192.0.2.7, 198.51.100.1"),
        ("198.51.100.1", "192.0.2.7"),
    ] {
        let status = log_in(peer, forged, PASSWORD).await;
        assert_eq!(status, StatusCode::TOO_MANY_REQUESTS, "{forged}");
    }
}
