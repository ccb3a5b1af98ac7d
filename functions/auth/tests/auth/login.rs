use std::time::Instant;

use auth::{
    access::Access,
    create_users::{PasswordRules, create_users},
    login,
};
use axum::{Router, body::Body, response::Response};
use http::{Request, StatusCode, header};
use identity::{Role, testing::Key};
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::{
    aws::Aws,
    fixtures::{Deployment, LIFETIMES, no_sessions},
    json, send,
};

/// Stored earlier, when such addresses were accepted.
const EMAIL: &str = "zoë.o'brien@clinic.example";
const PASSWORD: &str = "pässword 🔑 horse";

async fn with_a_user(database: &PgPool, role: Role) {
    let email = "zoe.o'brien@clinic.example";
    let users = json!({ "users": [{ "email": email, "password": PASSWORD, "role": role }] });
    create_users(database, PasswordRules::Full, users)
        .await
        .unwrap();
    sqlx::query("UPDATE auth.user_account SET email = $1")
        .bind(EMAIL)
        .execute(database)
        .await
        .unwrap();
}

async fn post(routes: &Router, body: impl Into<Body>) -> Response {
    let request = Request::post("/auth/login")
        .header(header::CONTENT_TYPE, "application/json")
        .body(body.into());
    send(routes, request.unwrap()).await
}

async fn log_in(routes: &Router, email: &str, password: &str) -> Response {
    post(
        routes,
        json!({ "email": email, "password": password }).to_string(),
    )
    .await
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn login_returns_a_valid_token(database: PgPool) {
    let deployment = Deployment::new().await;
    let routes = login::routes(
        database.clone(),
        deployment.access().await,
        deployment.attempts().await,
    );
    with_a_user(&database, Role::Receptionist).await;

    for email in [
        EMAIL,
        " ZOË.O'Brien@CLINIC.example ",
        "zoe\u{308}.o'brien@clinic.example",
    ] {
        let response = log_in(&routes, email, PASSWORD).await;
        assert_eq!(response.status(), StatusCode::OK, "{email}");
        assert_eq!(response.headers()[header::CACHE_CONTROL], "no-store");

        let answer = json(response).await;
        assert_eq!(answer["tokenType"], "Bearer");
        assert_eq!(answer["expiresIn"], 900);
        assert_eq!(answer["role"], "RECEPTIONIST");
        let claims = identity::verify(answer["token"].as_str().unwrap(), &deployment.key.public);
        let claims = claims.unwrap();
        assert_eq!(claims.role, Role::Receptionist);
        assert_eq!(claims.exp - claims.iat, 900);
        let sessions = deployment.sessions().await;
        let check = sessions.check(claims.sid, claims.sub).await.unwrap();
        assert_eq!(check, Ok(()));
        assert_eq!(answer["refreshToken"].as_str().unwrap().len(), 64);
    }
    assert_eq!(deployment.aws.reads(), 1);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn login_rejects_everybody_else_with_the_same_response(database: PgPool) {
    let deployment = Deployment::new().await;
    let routes = login::routes(
        database.clone(),
        deployment.access().await,
        deployment.attempts().await,
    );
    with_a_user(&database, Role::Admin).await;

    let mut refusals = vec![
        log_in(&routes, EMAIL, "another password").await,
        log_in(&routes, "nobody@clinic.example", PASSWORD).await,
        log_in(&routes, EMAIL, &PASSWORD.to_uppercase()).await,
        log_in(&routes, EMAIL, &format!("{PASSWORD} ")).await,
        log_in(&routes, EMAIL, "\0").await,
        log_in(&routes, "x'or'1'='1@clinic.example", "' OR 1=1 --").await,
    ];
    sqlx::query("UPDATE auth.user_account SET disabled = true")
        .execute(&database)
        .await
        .unwrap();
    refusals.push(log_in(&routes, EMAIL, PASSWORD).await);

    for response in refusals {
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(response.headers()[header::WWW_AUTHENTICATE], "Bearer");
        let mut problem = json(response).await;
        problem
            .as_object_mut()
            .unwrap()
            .remove("requestId")
            .unwrap();
        assert_eq!(
            problem,
            json!({
                "type": "urn:patient-management:problem:unauthorized",
                "title": "Unauthorized",
                "status": 401,
                "detail": "The e-mail address or the password is wrong",
            })
        );
    }
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn login_takes_as_long_for_an_unknown_user_as_for_a_wrong_password(database: PgPool) {
    let deployment = Deployment::new().await;
    let routes = login::routes(
        database.clone(),
        deployment.access().await,
        deployment.attempts().await,
    );
    with_a_user(&database, Role::Admin).await;
    let time = async |email: &str| {
        // Without the earlier failures: an attempt that has to wait is rejected without checking
        // the password, which is quick for every address.
        deployment.forget_attempts().await;
        let started = Instant::now();
        let response = log_in(&routes, email, "another password").await;
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        started.elapsed()
    };
    time(EMAIL).await;

    crate::take_the_same_time(
        async || time("nobody@clinic.example").await,
        async || time(EMAIL).await,
    )
    .await;
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn login_names_invalid_fields_without_repeating_their_values(database: PgPool) {
    let deployment = Deployment::new().await;
    let attempts = deployment.attempts().await;
    let routes = login::routes(database, deployment.access().await, attempts);
    let (email, password) = (EMAIL, PASSWORD);
    let long = "x".repeat(129);
    let cases = [
        (
            json!({}),
            json!({ "email": "Email is required", "password": "Password is required" }),
        ),
        (
            json!({ "email": email }),
            json!({ "password": "Password is required" }),
        ),
        (
            json!({ "email": email, "password": "" }),
            json!({ "password": "Password is required" }),
        ),
        (
            json!({ "email": "zoe", "password": password }),
            json!({ "email": "Email should be valid" }),
        ),
        (
            json!({ "email": "a\0@b.example", "password": password }),
            json!({ "email": "Email cannot contain control characters" }),
        ),
        (
            json!({ "email": "a@b.example\u{202e}", "password": password }),
            json!({ "email": "Email cannot contain characters that change the direction of writing" }),
        ),
        (
            json!({ "email": format!("{}@b.example", "x".repeat(300)), "password": password }),
            json!({ "email": "Email cannot exceed 254 characters" }),
        ),
        (
            json!({ "email": email, "password": long }),
            json!({ "password": "Password cannot exceed 128 characters" }),
        ),
        (
            json!({ "email": 4242, "password": password }),
            json!({ "email": "Must be a string" }),
        ),
        (
            json!({ "email": email, "password": { "$ne": null } }),
            json!({ "password": "Must be a string" }),
        ),
        (
            json!({ "email": [email], "password": password }),
            json!({ "email": "Must be a string" }),
        ),
        (
            json!({ "email": email, "password": null }),
            json!({ "password": "Must be a string" }),
        ),
    ];
    for (body, errors) in cases {
        let response = post(&routes, body.to_string()).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{body}");
        let mut problem = json(response).await;
        // An id may have any digits.
        problem["requestId"] = json!(null);
        assert_eq!(problem["errors"], errors, "{body}");
        assert!(!problem.to_string().contains(password), "{problem}");
        assert!(!problem.to_string().contains("4242"), "{problem}");
    }
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn login_rejects_malformed_requests(database: PgPool) {
    let deployment = Deployment::new().await;
    let attempts = deployment.attempts().await;
    let routes = login::routes(database, deployment.access().await, attempts);
    let status = async |body: Vec<u8>| post(&routes, body).await.status();
    let text = |value: Value| value.to_string().into_bytes();

    for body in [
        "",
        "null",
        "[]",
        "\"a\"",
        "{",
        "{\"email\":\"\\ud800\"}",
        "email=a&password=b",
    ] {
        assert_eq!(status(body.into()).await, StatusCode::BAD_REQUEST, "{body}");
    }
    assert_eq!(status(vec![0xff, 0xfe]).await, StatusCode::BAD_REQUEST);
    let deep = format!("{}{}", "[".repeat(30_000), "]".repeat(30_000));
    assert_eq!(status(deep.into()).await, StatusCode::BAD_REQUEST);
    let doubled = r#"{"email":"a@b.example","email":"c@d.example","password":"p"}"#;
    assert_eq!(status(doubled.into()).await, StatusCode::BAD_REQUEST);
    let huge = text(json!({ "email": EMAIL, "password": "x".repeat(1 << 20) }));
    assert_eq!(status(huge).await, StatusCode::PAYLOAD_TOO_LARGE);

    let form = Request::post("/auth/login")
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(Body::from("email=a"));
    let response = send(&routes, form.unwrap()).await;
    assert_eq!(response.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let get = Request::get("/auth/login").body(Body::empty()).unwrap();
    assert_eq!(
        send(&routes, get).await.status(),
        StatusCode::METHOD_NOT_ALLOWED
    );
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn login_is_unavailable_without_a_signing_key(database: PgPool) {
    let (deployment, aws) = (Deployment::new().await, Aws::empty().await);
    let sessions = deployment.sessions().await;
    let access = Access::new(aws.signing_key(), sessions, LIFETIMES);
    let routes = login::routes(database.clone(), access, deployment.attempts().await);
    with_a_user(&database, Role::Admin).await;

    let response = log_in(&routes, EMAIL, PASSWORD).await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(response.headers().contains_key(header::RETRY_AFTER));
    let wrong = log_in(&routes, EMAIL, "another password").await;
    assert_eq!(wrong.status(), StatusCode::UNAUTHORIZED);

    aws.store_secret("-----BEGIN PRIVATE KEY-----\nnonsense\n-----END PRIVATE KEY-----");
    let response = log_in(&routes, EMAIL, PASSWORD).await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);

    aws.store_secret(&Key::generate().pem);
    assert_eq!(
        log_in(&routes, EMAIL, PASSWORD).await.status(),
        StatusCode::OK
    );
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn login_is_unavailable_without_a_database(database: PgPool) {
    let deployment = Deployment::new().await;
    let routes = login::routes(
        database.clone(),
        deployment.access().await,
        deployment.attempts().await,
    );
    database.close().await;
    let response = log_in(&routes, EMAIL, PASSWORD).await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn login_is_unavailable_without_sessions(database: PgPool) {
    let deployment = Deployment::new().await;
    let access = Access::new(deployment.aws.signing_key(), no_sessions(), LIFETIMES);
    let routes = login::routes(database.clone(), access, deployment.attempts().await);
    with_a_user(&database, Role::Admin).await;
    let response = log_in(&routes, EMAIL, PASSWORD).await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn login_rehashes_a_password_whose_hash_has_weaker_parameters(database: PgPool) {
    let deployment = Deployment::new().await;
    let attempts = deployment.attempts().await;
    let routes = login::routes(database.clone(), deployment.access().await, attempts);
    with_a_user(&database, Role::Admin).await;
    // Argon2id of PASSWORD in its composed form, with one pass over 8 MiB.
    sqlx::query("UPDATE auth.user_account SET password_hash = $1")
        .bind(weak_hash())
        .execute(&database)
        .await
        .unwrap();
    let hash = async || -> String {
        sqlx::query_scalar("SELECT password_hash FROM auth.user_account")
            .fetch_one(&database)
            .await
            .unwrap()
    };
    let wrong = log_in(&routes, EMAIL, "another password").await;
    assert_eq!(wrong.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(hash().await, weak_hash());
    for _ in 0..2 {
        assert_eq!(
            log_in(&routes, EMAIL, PASSWORD).await.status(),
            StatusCode::OK
        );
        assert!(hash().await.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
    }
}

fn weak_hash() -> String {
    use argon2::{Algorithm, Argon2, Params, PasswordHasher as _, Version};
    let weak = Argon2::new(
        Algorithm::Argon2id,
        Version::V0x13,
        Params::new(8 * 1024, 1, 1, None).unwrap(),
    );
    let hash = weak.hash_password_with_salt(PASSWORD.as_bytes(), b"salt and pepper!");
    hash.unwrap().to_string()
}
