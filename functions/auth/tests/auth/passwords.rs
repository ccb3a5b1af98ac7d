use std::time::{Duration, Instant};

use auth::{
    change_password, create_account,
    create_users::PasswordRules,
    forgotten_password, login,
    send_account_messages::{self, Mail, Report, SendError},
    set_password,
};
use axum::{Router, body::Body, response::Response};
use http::{Request, StatusCode, header};
use identity::{
    Role,
    testing::{as_caller, in_session},
};
use mail::testing::{DOWN, INVALID_PARAMETER, MESSAGE_REJECTED, RECIPIENT_NOT_VERIFIED, Ses};
use serde_json::{Value, json};
use sessions::NoSession;
use sqlx::PgPool;
use uuid::Uuid;

use crate::{fixtures::Deployment, json, send};

const EMAIL: &str = "zoe@clinic.example";
const OLD: &str = "correct horse battery";
const NEW: &str = "staple the horse again";

async fn a_user(database: &PgPool) -> Uuid {
    let users = json!({ "users": [{ "email": EMAIL, "password": OLD, "role": "AUDITOR" }] });
    auth::create_users::create_users(database, PasswordRules::Full, users)
        .await
        .unwrap();
    sqlx::query_scalar("SELECT id FROM auth.user_account WHERE email = $1")
        .bind(EMAIL)
        .fetch_one(database)
        .await
        .unwrap()
}

fn post(path: &str, body: &Value) -> Request<Body> {
    Request::post(path)
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from(body.to_string()))
        .unwrap()
}

async fn log_in(database: &PgPool, deployment: &Deployment, password: &str) -> StatusCode {
    let access = deployment.access().await;
    let routes = login::routes(database.clone(), access, deployment.attempts().await);
    let body = json!({ "email": EMAIL, "password": password });
    send(&routes, post("/auth/login", &body)).await.status()
}

async fn forget(database: &PgPool, deployment: &Deployment, email: &str) -> StatusCode {
    let routes = forgotten_password::routes(database.clone(), deployment.attempts().await);
    let body = json!({ "email": email });
    send(&routes, post("/auth/forgotten-password", &body))
        .await
        .status()
}

/// Mail that is sent through this mail service.
fn mail(ses: &Ses) -> Mail {
    Mail::new(ses.mailer(), "Nordlys".to_owned())
}

/// Sends due messages, with more time than any test needs.
async fn send_account_messages(database: &PgPool, mail: &Mail) -> Result<Report, SendError> {
    let until = Instant::now() + Duration::from_mins(1);
    send_account_messages::send_account_messages(database, mail, until).await
}

/// The one-time token in the last message to this address.
fn token_of(ses: &Ses, address: &str) -> String {
    let text = ses.texts_to(address).pop().unwrap();
    let mut lines = text.lines();
    let token = lines.find(|line| line.len() == 43 && !line.contains(' '));
    token.unwrap().to_owned()
}

async fn set(routes: &Router, token: &str, password: &str) -> Response {
    let body = json!({ "token": token, "password": password });
    send(routes, post("/auth/set-password", &body)).await
}

async fn error(response: Response, field: &str) -> String {
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    let problem = json(response).await;
    problem["errors"][field]
        .as_str()
        .unwrap_or_else(|| panic!("{problem}"))
        .to_owned()
}

/// The route for creating accounts, with an administrator logged in.
async fn creating_accounts(database: &PgPool, deployment: &Deployment) -> Router {
    deployment.log_in_the_caller(database).await;
    create_account::routes(database.clone(), deployment.sessions().await)
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn change_password_requires_the_old_password_and_ends_other_sessions(database: PgPool) {
    let deployment = Deployment::new().await;
    let user = a_user(&database).await;
    let (here, there) = (deployment.begin(user).await, deployment.begin(user).await);
    let sessions = deployment.sessions().await;
    let attempts = deployment.attempts().await;
    let routes = change_password::routes(database.clone(), deployment.sessions().await, attempts);
    let change = async |old: &str, new: &str| {
        let body = json!({ "oldPassword": old, "newPassword": new });
        let request = post("/auth/change-password", &body);
        send(
            &routes,
            in_session(request, user, Role::Auditor, here.session),
        )
        .await
    };

    let refusals = [
        (
            "wrong old password",
            NEW,
            "oldPassword",
            "The old password is wrong",
        ),
        (OLD, OLD, "newPassword", "The new password is the old one"),
        (
            OLD,
            "short",
            "newPassword",
            "Password must have at least 12 characters",
        ),
        (
            OLD,
            "Password123!",
            "newPassword",
            "Password is too common, or too much like the e-mail address",
        ),
        (
            OLD,
            EMAIL,
            "newPassword",
            "Password is too common, or too much like the e-mail address",
        ),
        ("", NEW, "oldPassword", "Password is required"),
    ];
    for (old, new, field, reason) in refusals {
        assert_eq!(error(change(old, new).await, field).await, reason);
    }
    assert_eq!(sessions.check(there.session, user).await.unwrap(), Ok(()));

    assert_eq!(change(OLD, NEW).await.status(), StatusCode::NO_CONTENT);
    assert_eq!(sessions.check(here.session, user).await.unwrap(), Ok(()));
    let state = sessions.check(there.session, user).await.unwrap();
    assert_eq!(state, Err(NoSession::AllRevoked));
    assert_eq!(
        log_in(&database, &deployment, OLD).await,
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(log_in(&database, &deployment, NEW).await, StatusCode::OK);

    // The gateway may accept a token for a moment after its session has ended. The session stays
    // ended.
    sessions.end_all(user).await.unwrap();
    assert_eq!(
        change(NEW, "another password").await.status(),
        StatusCode::UNAUTHORIZED
    );
    let state = sessions.check(here.session, user).await.unwrap();
    assert_eq!(state, Err(NoSession::AllRevoked));
    assert_eq!(log_in(&database, &deployment, NEW).await, StatusCode::OK);

    let stranger = as_caller(post("/auth/change-password", &json!({})), Role::Auditor);
    assert_eq!(
        send(&routes, stranger).await.status(),
        StatusCode::UNAUTHORIZED
    );
    let nobody = post("/auth/change-password", &json!({}));
    assert_eq!(
        send(&routes, nobody).await.status(),
        StatusCode::UNAUTHORIZED
    );
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_forgotten_password_is_replaced_with_a_token_that_is_valid_once(database: PgPool) {
    let (deployment, ses) = (Deployment::new().await, Ses::start().await);
    let user = a_user(&database).await;
    let session = deployment.begin(user).await.session;
    for email in [" ZOE@clinic.example ", EMAIL, "nobody@clinic.example"] {
        assert_eq!(
            forget(&database, &deployment, email).await,
            StatusCode::ACCEPTED
        );
    }
    let report = send_account_messages(&database, &mail(&ses)).await.unwrap();
    assert_eq!(
        report,
        Report {
            sent: 1,
            dropped: 1,
            ..Report::default()
        }
    );
    assert_eq!(ses.texts_to(EMAIL).len(), 1);
    let token = token_of(&ses, EMAIL);
    // The token is only in the message.
    let stored: Vec<String> = sqlx::query_scalar("SELECT t::text FROM auth.one_time_token t")
        .fetch_all(&database)
        .await
        .unwrap();
    assert_eq!(stored.len(), 1);
    assert!(!stored[0].contains(&token));

    let sessions = deployment.sessions().await;
    let routes = set_password::routes(
        database.clone(),
        deployment.sessions().await,
        deployment.attempts().await,
    );
    let invalid = "The token is invalid or no longer valid";
    for made_up in ["", "x", &"x".repeat(43), &token.to_uppercase()] {
        assert_eq!(
            error(set(&routes, made_up, NEW).await, "token").await,
            invalid
        );
    }
    // A rejected password leaves the token valid.
    error(set(&routes, &token, "password1234").await, "password").await;
    let (one, other) = tokio::join!(set(&routes, &token, NEW), set(&routes, &token, NEW));
    let mut statuses = [one.status(), other.status()];
    statuses.sort();
    assert_eq!(statuses, [StatusCode::NO_CONTENT, StatusCode::BAD_REQUEST]);
    assert_eq!(
        error(set(&routes, &token, OLD).await, "token").await,
        invalid
    );
    let state = sessions.check(session, user).await.unwrap();
    assert_eq!(state, Err(NoSession::AllRevoked));
    assert_eq!(log_in(&database, &deployment, NEW).await, StatusCode::OK);
    assert_eq!(
        log_in(&database, &deployment, OLD).await,
        StatusCode::UNAUTHORIZED
    );
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn set_password_lets_the_owner_log_in_while_others_are_guessing(database: PgPool) {
    let (deployment, ses) = (Deployment::early_in_a_window().await, Ses::start().await);
    a_user(&database).await;
    let access = deployment.access().await;
    let routes = login::routes(database.clone(), access, deployment.attempts().await);
    let log_in_from = async |source: &str, password: &str| {
        let body = json!({ "email": EMAIL, "password": password });
        let request = crate::from_source(post("/auth/login", &body), source);
        send(&routes, request).await.status()
    };
    for _ in 0..11 {
        log_in_from("198.51.100.1", "a wrong password").await;
    }
    let here = "192.0.2.7";
    let status = log_in_from(here, OLD).await;
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);

    forget(&database, &deployment, EMAIL).await;
    send_account_messages(&database, &mail(&ses)).await.unwrap();
    let set_password = set_password::routes(
        database.clone(),
        deployment.sessions().await,
        deployment.attempts().await,
    );
    let body = json!({ "token": token_of(&ses, EMAIL), "password": NEW });
    let request = crate::from_source(post("/auth/set-password", &body), here);
    let status = send(&set_password, request).await.status();
    assert_eq!(status, StatusCode::NO_CONTENT);
    assert_eq!(log_in_from(here, NEW).await, StatusCode::OK);
    let status = log_in_from("192.0.2.8", NEW).await;
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn set_password_rejects_a_token_that_expired_or_whose_account_was_disabled(database: PgPool) {
    let (deployment, ses) = (Deployment::new().await, Ses::start().await);
    a_user(&database).await;
    let routes = set_password::routes(
        database.clone(),
        deployment.sessions().await,
        deployment.attempts().await,
    );
    for sql in [
        "UPDATE auth.one_time_token SET expires_at = now()",
        "UPDATE auth.user_account SET disabled = true",
    ] {
        forget(&database, &deployment, EMAIL).await;
        send_account_messages(&database, &mail(&ses)).await.unwrap();
        let token = token_of(&ses, EMAIL);
        sqlx::query(sql).execute(&database).await.unwrap();
        error(set(&routes, &token, NEW).await, "token").await;
        sqlx::query("DELETE FROM auth.one_time_token")
            .execute(&database)
            .await
            .unwrap();
    }
    // Disabled users are not sent a token.
    let before = ses.taken().len();
    forget(&database, &deployment, EMAIL).await;
    let report = send_account_messages(&database, &mail(&ses)).await.unwrap();
    assert_eq!((report.dropped, ses.taken().len()), (1, before));
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn requests_for_a_forgotten_password_cannot_flood_a_mailbox(database: PgPool) {
    let (deployment, ses) = (Deployment::early_in_a_window().await, Ses::start().await);
    a_user(&database).await;
    for _ in 0..5 {
        forget(&database, &deployment, EMAIL).await;
        send_account_messages(&database, &mail(&ses)).await.unwrap();
    }
    assert_eq!(ses.taken().len(), 1);
    let status = forget(&database, &deployment, EMAIL).await;
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
}

/// A whole clinic has one public address.
#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn forgotten_password_requests_from_a_source_are_limited_to_what_a_clinic_needs(
    database: PgPool,
) {
    let deployment = Deployment::early_in_a_window().await;
    let routes = forgotten_password::routes(database.clone(), deployment.attempts().await);
    let forget = async |email: &str, source: &str| {
        let request = post("/auth/forgotten-password", &json!({ "email": email }));
        send(&routes, crate::from_source(request, source))
            .await
            .status()
    };
    let clinic = "192.0.2.7";
    // Rejected requests for one account do not count against the others at the same source.
    for _ in 0..30 {
        forget("impatient@clinic.example", clinic).await;
    }
    // Five of these counted for the source.
    deployment.came_more_often(494).await;
    let status = forget("zoe@clinic.example", clinic).await;
    assert_eq!(status, StatusCode::ACCEPTED);
    let status = forget("mia@clinic.example", clinic).await;
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
    let elsewhere = forget("other@clinic.example", "198.51.100.1").await;
    assert_eq!(elsewhere, StatusCode::ACCEPTED);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn messages_are_sent_later_if_the_mail_service_is_down(database: PgPool) {
    let (deployment, ses) = (Deployment::new().await, Ses::start().await);
    let create = creating_accounts(&database, &deployment).await;
    let body = json!({ "email": EMAIL, "role": "CLINICIAN" });
    let request = as_caller(post("/api/accounts", &body), Role::Admin);
    assert_eq!(send(&create, request).await.status(), StatusCode::CREATED);
    assert_eq!(
        log_in(&database, &deployment, NEW).await,
        StatusCode::UNAUTHORIZED
    );

    ses.refuse_next(DOWN);
    for failed in [1, 0] {
        let report = send_account_messages(&database, &mail(&ses)).await.unwrap();
        assert_eq!(
            report,
            Report {
                failed,
                ..Report::default()
            }
        );
    }
    sqlx::query("UPDATE auth.account_message SET next_attempt_at = now()")
        .execute(&database)
        .await
        .unwrap();
    let mail = mail(&ses);
    let (one, other) = tokio::join!(
        send_account_messages(&database, &mail),
        send_account_messages(&database, &mail),
    );
    assert_eq!(one.unwrap().sent + other.unwrap().sent, 1);
    let routes = set_password::routes(
        database.clone(),
        deployment.sessions().await,
        deployment.attempts().await,
    );
    let response = set(&routes, &token_of(&ses, EMAIL), NEW).await;
    assert_eq!(response.status(), StatusCode::NO_CONTENT);
    assert_eq!(log_in(&database, &deployment, NEW).await, StatusCode::OK);
}

async fn run(database: &PgPool, sql: &'static str) {
    sqlx::query(sql).execute(database).await.unwrap();
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn requests_for_many_addresses_do_not_delay_other_messages(database: PgPool) {
    let (deployment, ses) = (Deployment::new().await, Ses::start().await);
    a_user(&database).await;
    // Due before anything else: many for unknown addresses, and many for users.
    run(
        &database,
        "INSERT INTO auth.account_message (id, email, kind, next_attempt_at)
         SELECT gen_random_uuid(), n || '@nowhere.example', 'FORGOTTEN_PASSWORD', now() - interval '2 hours'
         FROM generate_series(1, 500) n",
    )
    .await;
    let forgotten = |email: &str| {
        sqlx::query(
            "INSERT INTO auth.account_message (id, email, kind, next_attempt_at)
             VALUES (gen_random_uuid(), $1, 'FORGOTTEN_PASSWORD', now() - interval '1 hour')",
        )
        .bind(email.to_owned())
    };
    forgotten(EMAIL).execute(&database).await.unwrap();
    let report = send_account_messages(&database, &mail(&ses)).await.unwrap();
    let expected = Report {
        sent: 1,
        dropped: 500,
        ..Report::default()
    };
    assert_eq!(report, expected);
    assert_eq!(ses.texts_to(EMAIL).len(), 1);

    let create = creating_accounts(&database, &deployment).await;
    let body = json!({ "email": "invited@clinic.example", "role": "CLINICIAN" });
    for n in 0..120 {
        let email = format!("u{n}@clinic.example");
        sqlx::query(
            "INSERT INTO auth.user_account (id, email, role)
             VALUES (gen_random_uuid(), $1, 'CLINICIAN')",
        )
        .bind(&email)
        .execute(&database)
        .await
        .unwrap();
        forgotten(&email).execute(&database).await.unwrap();
    }
    let request = as_caller(post("/api/accounts", &body), Role::Admin);
    assert_eq!(send(&create, request).await.status(), StatusCode::CREATED);
    let report = send_account_messages(&database, &mail(&ses)).await.unwrap();
    assert_eq!(report.sent, 121);
    // The message sent before, and then the invitation, whose recipient has no other way to know.
    assert_eq!(
        ses.taken()[1]["Destination.ToAddresses.member.1"],
        "invited@clinic.example"
    );
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_run_stops_in_time_and_reports_that_there_is_more(database: PgPool) {
    const MESSAGES: usize = 30;
    let (deployment, ses) = (Deployment::new().await, Ses::start().await);
    ses.answer_after(Duration::from_millis(100));
    let create = creating_accounts(&database, &deployment).await;
    for n in 0..MESSAGES {
        let body = json!({ "email": format!("u{n}@clinic.example"), "role": "CLINICIAN" });
        let request = as_caller(post("/api/accounts", &body), Role::Admin);
        assert_eq!(send(&create, request).await.status(), StatusCode::CREATED);
    }
    let until = Instant::now() + Duration::from_secs(1);
    let report = send_account_messages::send_account_messages(&database, &mail(&ses), until).await;
    let first = report.unwrap();
    assert!(first.unfinished, "{first:?}");
    assert!((1..30).contains(&first.sent), "{first:?}");

    let second = send_account_messages(&database, &mail(&ses)).await.unwrap();
    assert!(!second.unfinished, "{second:?}");
    for n in 0..MESSAGES {
        assert_eq!(ses.texts_to(&format!("u{n}@clinic.example")).len(), 1);
    }
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_rejected_message_is_retried_as_long_as_it_matters(database: PgPool) {
    let (deployment, ses) = (Deployment::new().await, Ses::start().await);
    let create = creating_accounts(&database, &deployment).await;
    let body = json!({ "email": EMAIL, "role": "CLINICIAN" });
    let request = as_caller(post("/api/accounts", &body), Role::Admin);
    assert_eq!(send(&create, request).await.status(), StatusCode::CREATED);

    let report = |failed, refused, dropped| Report {
        failed,
        refused,
        dropped,
        ..Report::default()
    };
    let refused = async |refusal| {
        run(
            &database,
            "UPDATE auth.account_message SET next_attempt_at = now()",
        )
        .await;
        ses.refuse_next(refusal);
        let report = send_account_messages(&database, &mail(&ses)).await.unwrap();
        assert!(ses.taken().is_empty());
        report
    };
    for refusal in [MESSAGE_REJECTED, INVALID_PARAMETER] {
        assert_eq!(refused(refusal).await, report(1, 1, 0));
    }
    run(
        &database,
        "UPDATE auth.account_message SET created_at = now() - interval '8 days'",
    )
    .await;
    assert_eq!(refused(MESSAGE_REJECTED).await, report(0, 1, 1));

    // They can still request a password themselves: the rejected token does not count as just sent.
    forget(&database, &deployment, EMAIL).await;
    assert_eq!(refused(MESSAGE_REJECTED).await, report(1, 1, 0));
    run(
        &database,
        "UPDATE auth.account_message SET created_at = now() - interval '31 minutes'",
    )
    .await;
    // An address that SES has not verified yet does not count as a rejection, however long it
    // takes.
    assert_eq!(refused(RECIPIENT_NOT_VERIFIED).await, report(1, 0, 0));
    assert_eq!(refused(MESSAGE_REJECTED).await, report(0, 1, 1));
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn forgotten_password_takes_the_same_time_for_known_and_unknown_addresses(database: PgPool) {
    let deployment = Deployment::new().await;
    a_user(&database).await;
    let routes = forgotten_password::routes(database.clone(), deployment.attempts().await);
    let time = async |email: &str| {
        // Nothing is left from other requests that could make a difference.
        deployment.forget_attempts().await;
        sqlx::query("DELETE FROM auth.account_message")
            .execute(&database)
            .await
            .unwrap();
        let mut request = post("/auth/forgotten-password", &json!({ "email": email }));
        request = crate::from_source(request, &format!("192.0.2.{}", rand_byte()));
        let started = std::time::Instant::now();
        let status = send(&routes, request).await.status();
        assert_eq!(status, StatusCode::ACCEPTED);
        started.elapsed()
    };
    time(EMAIL).await;
    crate::take_the_same_time(
        async || time(EMAIL).await,
        async || time("nobody@clinic.example").await,
    )
    .await;
}

fn rand_byte() -> u8 {
    Uuid::new_v4().as_bytes()[0]
}
