use auth::{access::Access, refresh};
use axum::{Router, body::Body, response::Response};
use http::{Request, StatusCode, header};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use sqlx::PgPool;
use uuid::Uuid;

use crate::{
    aws::Aws,
    fixtures::{Deployment, LIFETIMES, no_sessions},
    json, send,
};

async fn a_user(database: &PgPool, role: &str) -> Uuid {
    let id = Uuid::now_v7();
    sqlx::query(
        "INSERT INTO auth.user_account (id, email, password_hash, role)
         VALUES ($1, $2, '$argon2id$', $3)",
    )
    .bind(id)
    .bind(format!("{id}@clinic.example"))
    .bind(role)
    .execute(database)
    .await
    .unwrap();
    id
}

async fn post(routes: &Router, body: String) -> Response {
    let request = Request::post("/auth/refresh")
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from(body));
    send(routes, request.unwrap()).await
}

async fn use_token(routes: &Router, token: &str) -> Response {
    post(routes, json!({ "refreshToken": token }).to_string()).await
}

async fn assert_ended(response: Response) {
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    let problem = json(response).await;
    assert_eq!(
        problem["detail"],
        "The session is over, please log in again"
    );
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn refresh_reads_the_account_again(database: PgPool) {
    let deployment = Deployment::new().await;
    let routes = refresh::routes(database.clone(), deployment.access().await);
    let user = a_user(&database, "CLINICIAN").await;
    let running = deployment.begin(user).await;
    let change = async |sql: &'static str| {
        sqlx::query(sql).execute(&database).await.unwrap();
    };

    change("UPDATE auth.user_account SET role = 'AUDITOR'").await;
    let response = use_token(&routes, running.refresh_token.expose_secret()).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()[header::CACHE_CONTROL], "no-store");
    let answer = json(response).await;
    assert_eq!(answer["role"], "AUDITOR");
    assert_eq!(answer["expiresIn"], 900);
    assert_eq!(answer["tokenType"], "Bearer");
    let token = answer["token"].as_str().unwrap();
    let claims = identity::verify(token, &deployment.key.public).unwrap();
    assert_eq!((claims.sub, claims.sid), (user, running.session));
    assert_eq!(claims.role.name(), "AUDITOR");

    change("UPDATE auth.user_account SET disabled = true").await;
    let next = answer["refreshToken"].as_str().unwrap();
    assert_ended(use_token(&routes, next).await).await;
    change("UPDATE auth.user_account SET disabled = false").await;
    assert_ended(use_token(&routes, next).await).await;
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn refresh_with_a_used_token_ends_the_session(database: PgPool) {
    let deployment = Deployment::new().await;
    let no_grace = sessions::Lifetimes {
        grace: std::time::Duration::ZERO,
        ..LIFETIMES
    };
    let routes = refresh::routes(database.clone(), deployment.access_for(no_grace).await);
    let user = a_user(&database, "ADMIN").await;
    let first = deployment.begin(user).await.refresh_token;
    let first = first.expose_secret();
    let next = json(use_token(&routes, first).await).await["refreshToken"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_ended(use_token(&routes, first).await).await;
    assert_ended(use_token(&routes, &next).await).await;
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn refresh_rejects_invalid_tokens_and_bodies(database: PgPool) {
    let deployment = Deployment::new().await;
    let routes = refresh::routes(database.clone(), deployment.access().await);
    let user = a_user(&database, "ADMIN").await;
    let access_token = deployment.token(user, identity::Role::Admin).await;
    for token in [
        "",
        "x",
        "' OR 1=1 --",
        &access_token,
        &"x".repeat(64),
        &"🔑".repeat(16),
    ] {
        assert_ended(use_token(&routes, token).await).await;
    }
    for body in [
        json!({}),
        json!({ "refreshToken": null }),
        json!({ "refreshToken": ["x"] }),
        json!({ "refresh_token": "x" }),
        json!([]),
        Value::Null,
    ] {
        let response = post(&routes, body.to_string()).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{body}");
    }
    let huge = json!({ "refreshToken": "x".repeat(1 << 20) }).to_string();
    let response = post(&routes, huge).await;
    assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn refresh_does_not_use_up_the_token_while_a_dependency_is_down(database: PgPool) {
    let deployment = Deployment::new().await;
    let user = a_user(&database, "ADMIN").await;
    let token = deployment.begin(user).await.refresh_token;
    let token = token.expose_secret();
    let no_grace = sessions::Lifetimes {
        grace: std::time::Duration::ZERO,
        ..LIFETIMES
    };
    let no_database = PgPool::connect_lazy("postgres://nobody@127.0.0.1:1/nothing").unwrap();
    let no_key = Aws::empty().await.signing_key();
    let signing_key = || deployment.aws.signing_key();
    for (database, access) in [
        (no_database, deployment.access_for(no_grace).await),
        (
            database.clone(),
            Access::new(no_key, deployment.sessions().await, no_grace),
        ),
        (
            database.clone(),
            Access::new(signing_key(), no_sessions(), no_grace),
        ),
    ] {
        let routes = refresh::routes(database, access);
        let response = use_token(&routes, token).await;
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(response.headers().contains_key(header::RETRY_AFTER));
    }
    let routes = refresh::routes(database, deployment.access_for(no_grace).await);
    assert_eq!(use_token(&routes, token).await.status(), StatusCode::OK);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn refresh_does_not_use_up_the_token_if_it_cannot_be_recorded(database: PgPool) {
    let deployment = Deployment::new().await;
    let no_grace = sessions::Lifetimes {
        grace: std::time::Duration::ZERO,
        ..LIFETIMES
    };
    let routes = refresh::routes(database.clone(), deployment.access_for(no_grace).await);
    let user = a_user(&database, "ADMIN").await;
    let token = deployment.begin(user).await.refresh_token;
    let token = token.expose_secret();
    let change = async |sql: &'static str| {
        sqlx::raw_sql(sql).execute(&database).await.unwrap();
    };
    change(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql
         AS $$ BEGIN RAISE EXCEPTION 'not today' USING ERRCODE = 'disk_full'; END $$",
    )
    .await;
    for (refuse, accept) in [
        (
            "CREATE TRIGGER refuse BEFORE INSERT ON audit.record
             FOR EACH ROW EXECUTE FUNCTION refuse()",
            "DROP TRIGGER refuse ON audit.record",
        ),
        // It fails at commit.
        (
            "CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON audit.record
             DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse()",
            "DROP TRIGGER refuse ON audit.record",
        ),
    ] {
        change(refuse).await;
        for _ in 0..3 {
            let response = use_token(&routes, token).await;
            assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        }
        change(accept).await;
    }
    let response = use_token(&routes, token).await;
    assert_eq!(response.status(), StatusCode::OK);
    let next = json(response).await["refreshToken"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(use_token(&routes, &next).await.status(), StatusCode::OK);
    assert_ended(use_token(&routes, token).await).await;
}
