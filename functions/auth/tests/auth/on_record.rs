//! Logins, rejected requests and changes of accounts are in the audit trail.

use auth::{
    change_password, create_account,
    create_users::{PasswordRules, create_users},
    forgotten_password, get_account, get_own_account, list_accounts, login, logout, logout_all,
    refresh,
    send_account_messages::Report,
    set_password, update_account,
};
use axum::{Router, body::Body};
use http::{Request, StatusCode, header};
use identity::{
    Role,
    testing::{CALLER, as_caller, in_session},
};
use mail::testing::{DOWN, MESSAGE_REJECTED, Ses};
use serde_json::{Value, json};
use sqlx::{FromRow, PgPool};
use uuid::Uuid;

use crate::{fixtures::Deployment, from_source, json, send};

const EMAIL: &str = "zoe@clinic.example";
const PASSWORD: &str = "correct horse battery";

#[derive(Debug, FromRow)]
struct Record {
    actor_id: Option<Uuid>,
    actor_role: Option<String>,
    action: String,
    outcome: String,
    problem: Option<String>,
    account_id: Option<Uuid>,
    source: Option<String>,
}

impl Record {
    fn brief(&self) -> (&str, &str, Option<&str>) {
        (&self.action, &self.outcome, self.problem.as_deref())
    }
}

async fn last(database: &PgPool) -> Record {
    sqlx::query_as("SELECT * FROM audit.record ORDER BY id DESC LIMIT 1")
        .fetch_one(database)
        .await
        .unwrap()
}

async fn a_user(database: &PgPool) -> Uuid {
    let users = json!({ "users": [{ "email": EMAIL, "password": PASSWORD, "role": "CLINICIAN" }] });
    create_users(database, PasswordRules::Full, users)
        .await
        .unwrap();
    last(database).await.account_id.unwrap()
}

fn request(method: &str, path: &str, body: &Value) -> Request<Body> {
    let builder = Request::builder().method(method).uri(path);
    builder
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from(body.to_string()))
        .unwrap()
}

async fn status(routes: &Router, request: Request<Body>) -> StatusCode {
    send(routes, request).await.status()
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn successful_and_rejected_logins_are_recorded(database: PgPool) {
    let deployment = Deployment::early_in_a_window().await;
    let user = a_user(&database).await;
    let given = last(&database).await;
    assert_eq!(given.brief(), ("CREATE_ACCOUNT", "SUCCEEDED", None));
    let (access, attempts) = (deployment.access().await, deployment.attempts().await);
    let routes = login::routes(database.clone(), access, attempts);
    let log_in = async |email: &str, password: &str| {
        let body = json!({ "email": email, "password": password });
        let request = request("POST", "/auth/login", &body);
        let status = status(&routes, from_source(request, "203.0.113.7")).await;
        (status, last(&database).await)
    };

    let (status, record) = log_in(EMAIL, PASSWORD).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(record.brief(), ("LOG_IN", "SUCCEEDED", None));
    assert_eq!(record.actor_id, Some(user));
    assert_eq!(record.actor_role.as_deref(), Some("CLINICIAN"));
    assert_eq!(record.account_id, Some(user));
    assert_eq!(record.source.as_deref(), Some("203.0.113.7"));

    // The actor is unknown, but the account that they tried is recorded.
    for (email, password, account) in [
        (EMAIL, "a wrong password", Some(user)),
        ("nobody@clinic.example", PASSWORD, None),
    ] {
        let (status, record) = log_in(email, password).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED);
        assert_eq!(record.brief(), ("LOG_IN", "REFUSED", Some("unauthorized")));
        assert_eq!((record.actor_id, record.account_id), (None, account));
    }
    loop {
        let (status, record) = log_in(EMAIL, "a wrong password").await;
        if status == StatusCode::TOO_MANY_REQUESTS {
            assert_eq!(record.problem.as_deref(), Some("too-many-requests"));
            assert_eq!(record.account_id, Some(user));
            break;
        }
    }
    // Nothing that was typed is recorded.
    let typed: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM audit.record WHERE record::text LIKE '%nobody%' OR record::text LIKE '%password%'",
    )
    .fetch_one(&database)
    .await
    .unwrap();
    assert_eq!(typed, 0);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn login_fails_if_it_cannot_be_recorded(database: PgPool) {
    let deployment = Deployment::new().await;
    a_user(&database).await;
    sqlx::query("ALTER TABLE audit.chain RENAME TO elsewhere")
        .execute(&database)
        .await
        .unwrap();
    let (access, attempts) = (deployment.access().await, deployment.attempts().await);
    let routes = login::routes(database.clone(), access, attempts);
    let body = json!({ "email": EMAIL, "password": PASSWORD });
    let response = send(&routes, request("POST", "/auth/login", &body)).await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(json(response).await.get("token").is_none());
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn successful_and_rejected_refreshes_are_recorded(database: PgPool) {
    let deployment = Deployment::new().await;
    let user = a_user(&database).await;
    let routes = refresh::routes(database.clone(), deployment.access().await);
    let refresh = async |token: &str| {
        let body = json!({ "refreshToken": token });
        let response = send(&routes, request("POST", "/auth/refresh", &body)).await;
        let record = last(&database).await;
        (response.status(), json(response).await, record)
    };
    let running = deployment.begin(user).await;
    let first = secrecy::ExposeSecret::expose_secret(&running.refresh_token).to_owned();
    let (_, answer, record) = refresh(&first).await;
    assert_eq!(record.brief(), ("REFRESH_SESSION", "SUCCEEDED", None));
    assert_eq!(record.actor_id, Some(user));

    let second = answer["refreshToken"].as_str().unwrap().to_owned();
    refresh(&second).await;
    let (status, _, record) = refresh(&first).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    let refused = ("REFRESH_SESSION", "REFUSED", Some("unauthorized"));
    assert_eq!(record.brief(), refused);
    assert_eq!(record.actor_id, None);

    let (_, _, record) = refresh("no token at all").await;
    assert_eq!(record.brief(), refused);
    assert_eq!(record.account_id, None);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn creating_and_updating_accounts_is_recorded(database: PgPool) {
    let deployment = Deployment::new().await;
    deployment.log_in_the_caller(&database).await;
    let create = create_account::routes(database.clone(), deployment.sessions().await);
    let body = json!({ "email": EMAIL, "role": "AUDITOR" });
    let request_of = |body: &Value| as_caller(request("POST", "/api/accounts", body), Role::Admin);
    assert_eq!(
        status(&create, request_of(&body)).await,
        StatusCode::CREATED
    );
    let record = last(&database).await;
    assert_eq!(record.brief(), ("CREATE_ACCOUNT", "SUCCEEDED", None));
    assert_eq!(record.actor_id, Some(CALLER));
    let account = record.account_id.unwrap();
    assert_eq!(
        status(&create, request_of(&body)).await,
        StatusCode::CONFLICT
    );
    let record = last(&database).await;
    let failed = ("CREATE_ACCOUNT", "FAILED", Some("conflict"));
    assert_eq!(record.brief(), failed);

    let update = update_account::routes(database.clone(), deployment.sessions().await);
    let change = async |role: Role, account: Uuid| {
        let body = json!({ "role": "CLINICIAN", "disabled": false });
        let path = format!("/api/accounts/{account}");
        let request = as_caller(request("PUT", &path, &body), role);
        (status(&update, request).await, last(&database).await)
    };
    let (_, record) = change(Role::Admin, account).await;
    assert_eq!(record.brief(), ("UPDATE_ACCOUNT", "SUCCEEDED", None));
    assert_eq!(record.account_id, Some(account));
    let (status, record) = change(Role::Receptionist, account).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    let refused = ("UPDATE_ACCOUNT", "REFUSED", Some("forbidden"));
    assert_eq!(record.brief(), refused);
    assert_eq!(record.account_id, Some(account));
    let nobody = Uuid::now_v7();
    let (_, record) = change(Role::Admin, nobody).await;
    assert_eq!(record.outcome, "FAILED");
    assert_eq!(record.account_id, Some(nobody));
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn changing_and_setting_a_password_is_recorded(database: PgPool) {
    let deployment = Deployment::new().await;
    let user = a_user(&database).await;
    let session = deployment.begin(user).await.session;
    let (sessions, attempts) = (deployment.sessions().await, deployment.attempts().await);
    let routes = change_password::routes(database.clone(), sessions, attempts);
    let change = async |old: &str| {
        let body = json!({ "oldPassword": old, "newPassword": "staple the horse again" });
        let request = request("POST", "/auth/change-password", &body);
        send(&routes, in_session(request, user, Role::Clinician, session)).await;
        last(&database).await
    };
    let refused = change("a wrong password").await;
    let brief = ("CHANGE_PASSWORD", "REFUSED", Some("invalid-input"));
    assert_eq!(refused.brief(), brief);
    assert_eq!(refused.actor_id, Some(user));
    let changed = change(PASSWORD).await;
    assert_eq!(changed.brief(), ("CHANGE_PASSWORD", "SUCCEEDED", None));
    assert_eq!(changed.account_id, Some(user));

    let routes = set_password::routes(
        database.clone(),
        deployment.sessions().await,
        deployment.attempts().await,
    );
    let body = json!({ "token": "x".repeat(43), "password": "staple the horse again" });
    send(&routes, request("POST", "/auth/set-password", &body)).await;
    let record = last(&database).await;
    let refused = ("SET_PASSWORD", "REFUSED", Some("invalid-input"));
    assert_eq!(record.brief(), refused);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn reading_accounts_is_recorded(database: PgPool) {
    let user = a_user(&database).await;
    let accounts = Router::new()
        .merge(list_accounts::routes(database.clone()))
        .merge(get_account::routes(database.clone()))
        .merge(get_own_account::routes(database.clone()));
    let read = async |role: Role, path: &str| {
        let request = as_caller(request("GET", path, &json!({})), role);
        send(&accounts, request).await;
        last(&database).await
    };
    let record = read(Role::Admin, "/api/accounts").await;
    assert_eq!(record.brief(), ("READ_ACCOUNTS", "SUCCEEDED", None));
    assert_eq!((record.actor_id, record.account_id), (Some(CALLER), None));
    let path = format!("/api/accounts/{user}");
    let record = read(Role::Admin, &path).await;
    assert_eq!(record.brief(), ("READ_ACCOUNTS", "SUCCEEDED", None));
    assert_eq!(record.account_id, Some(user));
    // The caller's account does not exist here.
    let record = read(Role::Receptionist, "/api/me").await;
    assert_eq!(
        record.brief(),
        ("READ_ACCOUNTS", "FAILED", Some("not-found"))
    );
    let own = request("GET", "/api/me", &json!({}));
    let own = in_session(own, user, Role::Clinician, Uuid::nil());
    send(&accounts, own).await;
    let record = last(&database).await;
    assert_eq!(record.brief(), ("READ_ACCOUNTS", "SUCCEEDED", None));
    assert_eq!(
        (record.actor_id, record.account_id),
        (Some(user), Some(user))
    );
    let record = read(Role::Receptionist, &path).await;
    let refused = ("READ_ACCOUNTS", "REFUSED", Some("forbidden"));
    assert_eq!(record.brief(), refused);
    assert_eq!(record.account_id, Some(user));
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn logouts_and_requests_for_a_forgotten_password_are_recorded(database: PgPool) {
    let deployment = Deployment::early_in_a_window().await;
    let user = a_user(&database).await;
    let session = deployment.begin(user).await.session;
    let logout = logout::routes(database.clone(), deployment.sessions().await);
    let all = logout_all::routes(database.clone(), deployment.sessions().await);
    for (routes, path) in [(&logout, "/auth/logout"), (&all, "/auth/logout-all")] {
        let request = request("POST", path, &json!({}));
        send(routes, in_session(request, user, Role::Clinician, session)).await;
        let record = last(&database).await;
        assert_eq!(record.brief(), ("LOG_OUT", "SUCCEEDED", None), "{path}");
        assert_eq!(
            (record.actor_id, record.account_id),
            (Some(user), Some(user))
        );
    }

    let forgotten = forgotten_password::routes(database.clone(), deployment.attempts().await);
    let ask = async |email: &str| {
        let body = json!({ "email": email });
        let request = request("POST", "/auth/forgotten-password", &body);
        let status = status(&forgotten, from_source(request, "203.0.113.7")).await;
        (status, last(&database).await)
    };
    for email in [EMAIL, "nobody@clinic.example"] {
        let (_, record) = ask(email).await;
        assert_eq!(record.brief(), ("REQUEST_PASSWORD", "SUCCEEDED", None));
        assert_eq!((record.actor_id, record.account_id), (None, None));
        assert_eq!(record.source.as_deref(), Some("203.0.113.7"));
    }
    loop {
        let (status, record) = ask(EMAIL).await;
        if status == StatusCode::TOO_MANY_REQUESTS {
            assert_eq!(record.outcome, "REFUSED");
            break;
        }
    }
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn administrators_are_notified_of_an_emergency_access(database: PgPool) {
    let clinician = a_user(&database).await;
    let administrator = "boss@clinic.example";
    let users =
        json!({ "users": [{ "email": administrator, "password": PASSWORD, "role": "ADMIN" }] });
    create_users(&database, PasswordRules::Full, users)
        .await
        .unwrap();
    let patient = Uuid::now_v7();
    sqlx::query("SELECT auth.tell_administrators($1, $2, 'a-request')")
        .bind(clinician)
        .bind(patient)
        .execute(&database)
        .await
        .unwrap();

    let ses = Ses::start().await;
    let tell = async || {
        let until = std::time::Instant::now() + std::time::Duration::from_mins(1);
        auth::tell_administrators::tell_administrators(&database, &ses.mailer(), until)
            .await
            .unwrap()
    };
    let report = |sent, failed| Report {
        sent,
        failed,
        ..Report::default()
    };
    for (refusal, refused) in [(DOWN, 0), (MESSAGE_REJECTED, 1)] {
        ses.refuse_next(refusal);
        let expected = Report {
            refused,
            ..report(0, 1)
        };
        assert_eq!(tell().await, expected);
        assert_eq!(tell().await, report(0, 0), "it is not retried at once");
        sqlx::query("UPDATE auth.administrator_notice SET next_attempt_at = now()")
            .execute(&database)
            .await
            .unwrap();
    }
    assert_eq!(tell().await, report(1, 0));
    let texts = ses.texts_to(administrator);
    for said in [EMAIL, &patient.to_string(), "a-request"] {
        assert!(texts[0].contains(said), "{said}");
    }
    assert_eq!(tell().await, report(0, 0));
}
