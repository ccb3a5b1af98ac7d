//! A mailbox has one account, however its address is written, and whenever it was stored.

use auth::{create_account, forgotten_password, login};
use axum::{Router, body::Body, response::Response};
use http::{Request, StatusCode, header};
use identity::{Role, testing::as_caller};
use serde_json::{Value, json};
use sqlx::PgPool;
use uuid::Uuid;

use crate::{fixtures::Deployment, json, send};

async fn post(routes: &Router, path: &str, body: &Value) -> Response {
    let request = Request::post(path).header(header::CONTENT_TYPE, "application/json");
    let request = request.body(Body::from(body.to_string())).unwrap();
    send(routes, as_caller(request, Role::Admin)).await
}

async fn create(routes: &Router, email: &str) -> (StatusCode, Value) {
    let body = json!({ "email": email, "role": "AUDITOR" });
    let response = post(routes, "/api/accounts", &body).await;
    (response.status(), json(response).await)
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_mailbox_has_one_account(database: PgPool) {
    let deployment = Deployment::new().await;
    deployment.log_in_the_caller(&database).await;
    let routes = create_account::routes(database.clone(), deployment.sessions().await);
    for (typed, forms, stored) in [
        (
            "I@bücher.example",
            ["i@xn--bcher-kva.example", "i@bu\u{308}cher.EXAMPLE"],
            "i@xn--bcher-kva.example",
        ),
        (
            "\"z\"@x.example",
            ["z@x.example", "Z@X.example"],
            "z@x.example",
        ),
        (
            "i@ΟΔΟΣ.example",
            ["i@οδοσ.example", "i@xn--pxavbq.example"],
            "i@xn--pxavbq.example",
        ),
    ] {
        let (status, account) = create(&routes, typed).await;
        assert_eq!(status, StatusCode::CREATED, "{account}");
        assert_eq!(account["email"], stored);
        for same in forms.into_iter().chain([typed]) {
            let (status, _) = create(&routes, same).await;
            assert_eq!(status, StatusCode::CONFLICT, "{same}");
        }
    }
    for (address, said) in [
        ("zoë@clinic.example", "cannot deliver"),
        ("a@1.2.3.4", "should be valid"),
        ("a@x.example?subject=x", "should be valid"),
    ] {
        let (status, problem) = create(&routes, address).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{address}");
        let error = problem["errors"]["email"].as_str().unwrap();
        assert!(error.contains(said), "{address}: {error}");
    }
}

async fn account(database: &PgPool, email: &str) -> Uuid {
    let id = Uuid::now_v7();
    sqlx::query("INSERT INTO auth.user_account (id, email, role) VALUES ($1, $2, 'AUDITOR')")
        .bind(id)
        .bind(email)
        .execute(database)
        .await
        .unwrap();
    id
}

async fn message(database: &PgPool, email: &str) {
    sqlx::query("INSERT INTO auth.account_message (id, email, kind) VALUES ($1, $2, 'INVITATION')")
        .bind(Uuid::now_v7())
        .bind(email)
        .execute(database)
        .await
        .unwrap();
}

/// Runs the migration again, on addresses like those that it found originally.
#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn the_migration_converts_addresses_that_were_stored_earlier(database: PgPool) {
    let stored = [
        ("i@bücher.example", "i@xn--bcher-kva.example"),
        ("i@例子.广告", "i@xn--fsqu00a.xn--4rr70v"),
        ("zoë@bücher.example", "zoë@xn--bcher-kva.example"),
        ("\"q\"@x.example", "q@x.example"),
        ("taken@xn--bcher-kva.example", "taken@xn--bcher-kva.example"),
        ("taken@bücher.example", "taken@bücher.example"),
    ];
    let mut ids = Vec::new();
    for (before, _) in stored {
        ids.push(account(&database, before).await);
        message(&database, before).await;
    }
    sqlx::raw_sql(include_str!("../../migrations/0005_email_form.sql"))
        .execute(&database)
        .await
        .unwrap();
    for (id, (before, after)) in ids.into_iter().zip(stored) {
        let email: String = sqlx::query_scalar("SELECT email FROM auth.user_account WHERE id = $1")
            .bind(id)
            .fetch_one(&database)
            .await
            .unwrap();
        assert_eq!(email, after, "{before}");
    }
    let mut to: Vec<String> = sqlx::query_scalar("SELECT email FROM auth.account_message")
        .fetch_all(&database)
        .await
        .unwrap();
    to.sort();
    let mut expected: Vec<&str> = stored.iter().map(|(_, after)| *after).collect();
    expected.pop();
    expected.sort_unstable();
    assert_eq!(to, expected);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn login_accepts_every_form_of_the_address(database: PgPool) {
    let deployment = Deployment::new().await;
    let routes = login::routes(
        database.clone(),
        deployment.access().await,
        deployment.attempts().await,
    );
    let password = auth::Password::parse(&"correct horse battery".into()).unwrap();
    let hash = auth::PasswordHash::of(password).await.unwrap();
    for (stored, typed) in [
        (
            "i@xn--bcher-kva.example",
            ["I@Bücher.example", "i@bu\u{308}cher.example"],
        ),
        // Stored earlier, when such addresses were accepted.
        (
            "zoë@clinic.example",
            ["ZOË@clinic.example", "zoe\u{308}@clinic.example"],
        ),
        (
            "\"a b\"@x.example",
            ["\"A b\"@x.example", "\"a B\"@X.example"],
        ),
    ] {
        let id = account(&database, stored).await;
        sqlx::query("UPDATE auth.user_account SET password_hash = $2 WHERE id = $1")
            .bind(id)
            .bind(hash.as_str())
            .execute(&database)
            .await
            .unwrap();
        for typed in typed {
            let body = json!({ "email": typed, "password": "correct horse battery" });
            let welcome = post(&routes, "/auth/login", &body).await;
            assert_eq!(welcome.status(), StatusCode::OK, "{typed}");
        }
    }
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_forgotten_password_message_is_sent_to_the_stored_form_of_the_address(database: PgPool) {
    let deployment = Deployment::new().await;
    let attempts = deployment.attempts().await;
    let routes = forgotten_password::routes(database.clone(), attempts);
    for typed in [
        "I@Bücher.example",
        "i@xn--bcher-kva.example",
        "ZOË@x.example",
    ] {
        let answer = post(
            &routes,
            "/auth/forgotten-password",
            &json!({ "email": typed }),
        )
        .await;
        assert_eq!(answer.status(), StatusCode::ACCEPTED, "{typed}");
    }
    let mut to: Vec<String> = sqlx::query_scalar("SELECT email FROM auth.account_message")
        .fetch_all(&database)
        .await
        .unwrap();
    to.sort();
    assert_eq!(to, ["i@xn--bcher-kva.example", "zoë@x.example"]);
}
