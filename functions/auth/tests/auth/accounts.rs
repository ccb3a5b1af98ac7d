use auth::{create_account, get_account, get_own_account, list_accounts, update_account};
use axum::{Router, body::Body, response::Response};
use http::{Method, Request, StatusCode, header};
use identity::{
    Role,
    testing::{CALLER, as_caller, in_session},
};
use serde_json::{Value, json};
use sessions::NoSession;
use sqlx::PgPool;
use uuid::Uuid;

use crate::{
    fixtures::{Deployment, no_sessions},
    json, send,
};

fn request(method: Method, path: &str, body: Option<Value>, role: Role) -> Request<Body> {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::CONTENT_TYPE, "application/json");
    let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
    as_caller(request.body(body).unwrap(), role)
}

async fn routes(database: &PgPool, deployment: &Deployment) -> Router {
    deployment.log_in_the_caller(database).await;
    Router::new()
        .merge(create_account::routes(
            database.clone(),
            deployment.sessions().await,
        ))
        .merge(list_accounts::routes(database.clone()))
        .merge(get_account::routes(database.clone()))
        .merge(update_account::routes(
            database.clone(),
            deployment.sessions().await,
        ))
}

async fn create(routes: &Router, email: &str, role: &str) -> Response {
    let body = json!({ "email": email, "role": role });
    send(
        routes,
        request(Method::POST, "/api/accounts", Some(body), Role::Admin),
    )
    .await
}

async fn put(routes: &Router, id: &str, role: &str, disabled: bool) -> Response {
    let body = json!({ "role": role, "disabled": disabled });
    let path = format!("/api/accounts/{id}");
    send(routes, request(Method::PUT, &path, Some(body), Role::Admin)).await
}

/// An account that can log in.
async fn active(database: &PgPool, routes: &Router, role: &str) -> String {
    let email = format!("{}@clinic.example", Uuid::new_v4());
    let account = json(create(routes, &email, role).await).await;
    let id = account["id"].as_str().unwrap().to_owned();
    sqlx::query("UPDATE auth.user_account SET password_hash = '$argon2id$' WHERE email = $1")
        .bind(email)
        .execute(database)
        .await
        .unwrap();
    id
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn accounts_are_created_read_and_listed(database: PgPool) {
    let deployment = Deployment::new().await;
    let routes = routes(&database, &deployment).await;
    let response = create(&routes, " ZOE@clinic.example ", "CLINICIAN").await;
    assert_eq!(response.status(), StatusCode::CREATED);
    assert_eq!(response.headers()[header::ETAG], "\"1\"");
    let location = response.headers()[header::LOCATION].clone();
    let account = json(response).await;
    assert_eq!(account["email"], "zoe@clinic.example");
    assert_eq!(account["hasPassword"], false);
    assert_eq!(account["disabled"], false);
    let id = account["id"].as_str().unwrap();
    assert_eq!(location, format!("accounts/{id}"));
    assert!(!account.to_string().contains("argon2"));

    let path = format!("/api/accounts/{id}");
    let response = send(&routes, request(Method::GET, &path, None, Role::Admin)).await;
    assert_eq!(json(response).await, account);
    let unknown = format!("/api/accounts/{}", Uuid::now_v7());
    let response = send(&routes, request(Method::GET, &unknown, None, Role::Admin)).await;
    assert_eq!(response.status(), StatusCode::NOT_FOUND);

    let taken = create(&routes, "Zoe@Clinic.example", "ADMIN").await;
    assert_eq!(taken.status(), StatusCode::CONFLICT);
    for n in 0..4 {
        create(&routes, &format!("u{n}@clinic.example"), "AUDITOR").await;
    }
    let (mut emails, mut cursor) = (Vec::new(), String::new());
    loop {
        let path = format!("/api/accounts?limit=2{cursor}");
        let response = send(&routes, request(Method::GET, &path, None, Role::Admin)).await;
        let page = json(response).await;
        for account in page["accounts"].as_array().unwrap() {
            emails.push(account["email"].as_str().unwrap().to_owned());
        }
        match page["nextCursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(emails.len(), 6);
    assert_eq!(
        (&*emails[0], &*emails[1], &*emails[5]),
        (
            "caller@clinic.example",
            "zoe@clinic.example",
            "u3@clinic.example"
        )
    );
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn the_name_of_an_account_can_be_set_changed_and_removed(database: PgPool) {
    let deployment = Deployment::new().await;
    let routes = routes(&database, &deployment).await;
    let routes = routes.merge(get_own_account::routes(database.clone()));
    let body =
        json!({ "email": "zoe@clinic.example", "role": "AUDITOR", "name": " Zoe\u{308}  K. " });
    let created = request(Method::POST, "/api/accounts", Some(body), Role::Admin);
    let created = json(send(&routes, created).await).await;
    assert_eq!(created["name"], "Zoë K.");
    let path = format!("/api/accounts/{}", created["id"].as_str().unwrap());

    for (sent, name) in [
        (json!({}), json!("Zoë K.")),
        (json!({ "name": "Zoë Kiefer" }), json!("Zoë Kiefer")),
        (json!({ "name": null }), json!(null)),
        (json!({}), json!(null)),
        (json!({ "name": "Zoe" }), json!("Zoe")),
        (json!({ "name": "" }), json!(null)),
    ] {
        let mut body = json!({ "role": "AUDITOR", "disabled": false });
        body.as_object_mut()
            .unwrap()
            .extend(sent.as_object().unwrap().clone());
        let put = request(Method::PUT, &path, Some(body), Role::Admin);
        let changed = json(send(&routes, put).await).await;
        assert_eq!(changed["name"], name, "{sent}: {changed}");
        let read = json(send(&routes, request(Method::GET, &path, None, Role::Admin)).await).await;
        assert_eq!(read, changed);
        let list = request(Method::GET, "/api/accounts", None, Role::Admin);
        let list = json(send(&routes, list).await).await;
        assert_eq!(list["accounts"][1], changed);
        let me = request(Method::GET, "/api/me", None, Role::Auditor);
        let user = created["id"].as_str().unwrap().parse().unwrap();
        let me = in_session(me, user, Role::Auditor, Uuid::nil());
        let me = json(send(&routes, me).await).await;
        assert_eq!((&me["id"], &me["name"]), (&created["id"], &name));
    }

    let nameless = json(create(&routes, "max@clinic.example", "AUDITOR").await).await;
    assert_eq!(nameless["name"], json!(null));
    for (name, message) in [
        (json!("é".repeat(101)), "Name cannot exceed 100 characters"),
        (json!("a\0b"), "Name cannot contain control characters"),
        (json!(42), "Must be a string"),
    ] {
        let body = json!({ "email": "eva@clinic.example", "role": "AUDITOR", "name": name });
        let post = request(Method::POST, "/api/accounts", Some(body), Role::Admin);
        let body = json!({ "role": "AUDITOR", "disabled": true, "name": name });
        let put = request(Method::PUT, &path, Some(body), Role::Admin);
        for request in [post, put] {
            let response = send(&routes, request).await;
            assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{name}");
            assert_eq!(json(response).await["errors"]["name"], message);
        }
    }
    let read = json(send(&routes, request(Method::GET, &path, None, Role::Admin)).await).await;
    assert_eq!(read["disabled"], false);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn other_services_can_look_up_names_by_account_id(database: PgPool) {
    let deployment = Deployment::new().await;
    let routes = routes(&database, &deployment).await;
    let mut ids = Vec::new();
    for (email, name) in [
        ("zoe@clinic.example", json!("Zoe Kiefer")),
        ("max@clinic.example", json!(null)),
        ("eva@clinic.example", json!("Eva Stein")),
    ] {
        let body = json!({ "email": email, "role": "AUDITOR", "name": name });
        let post = request(Method::POST, "/api/accounts", Some(body), Role::Admin);
        let account = json(send(&routes, post).await).await;
        ids.push(account["id"].as_str().unwrap().parse::<Uuid>().unwrap());
    }
    let names: Vec<(Uuid, String)> = sqlx::query_as("SELECT * FROM auth.names_of($1)")
        .bind([ids[0], ids[1], Uuid::nil()])
        .fetch_all(&database)
        .await
        .unwrap();
    assert_eq!(names, [(ids[0], "Zoe Kiefer".to_owned())]);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn only_administrators_manage_accounts(database: PgPool) {
    let deployment = Deployment::new().await;
    let routes = routes(&database, &deployment).await;
    let id = active(&database, &routes, "AUDITOR").await;
    let path = format!("/api/accounts/{id}");
    for (method, path, body) in [
        (Method::GET, "/api/accounts", None),
        (Method::GET, path.as_str(), None),
        (
            Method::POST,
            "/api/accounts",
            Some(json!({ "email": "a@b.example", "role": "ADMIN" })),
        ),
        (
            Method::PUT,
            path.as_str(),
            Some(json!({ "role": "ADMIN", "disabled": false })),
        ),
    ] {
        for role in [Role::Clinician, Role::Receptionist, Role::Auditor] {
            // Auditors may read accounts.
            let expected = if role == Role::Auditor && method == Method::GET {
                StatusCode::OK
            } else {
                StatusCode::FORBIDDEN
            };
            let request = request(method.clone(), path, body.clone(), role);
            assert_eq!(send(&routes, request).await.status(), expected, "{role}");
        }
        let nobody = Request::builder().method(method.clone()).uri(path);
        let nobody = nobody.body(Body::empty()).unwrap();
        assert_eq!(
            send(&routes, nobody).await.status(),
            StatusCode::UNAUTHORIZED
        );
    }
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn unknown_and_invalid_fields_of_an_account_are_rejected(database: PgPool) {
    let deployment = Deployment::new().await;
    let routes = routes(&database, &deployment).await;
    for (name, value) in [
        ("id", json!(Uuid::nil())),
        ("disabled", json!(false)),
        ("version", json!(7)),
        ("passwordHash", json!("$argon2id$")),
        ("password_hash", json!("$argon2id$")),
        ("password", json!("hunter2 hunter2")),
        ("isAdmin", json!(true)),
        ("role", json!(["ADMIN"])),
        ("role", json!("ROOT")),
        ("role", json!(null)),
        ("email", json!("nobody")),
        ("email", json!({ "$ne": null })),
    ] {
        let mut body = json!({ "email": "max@clinic.example", "role": "AUDITOR" });
        body[name] = value;
        let request = request(
            Method::POST,
            "/api/accounts",
            Some(body.clone()),
            Role::Admin,
        );
        let response = send(&routes, request).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{body}");
        assert!(!json(response).await.to_string().contains("hunter2"));
    }
    let id = active(&database, &routes, "AUDITOR").await;
    let path = format!("/api/accounts/{id}");
    for (name, value) in [
        ("passwordHash", json!("$argon2id$")),
        ("disabled", json!("no")),
        ("role", json!("ROOT")),
    ] {
        let mut body = json!({ "role": "AUDITOR", "disabled": false });
        body[name] = value;
        let request = request(Method::PUT, &path, Some(body.clone()), Role::Admin);
        let response = send(&routes, request).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{body}");
    }
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn changing_a_role_or_disabling_an_account_ends_its_sessions(database: PgPool) {
    let deployment = Deployment::new().await;
    let (routes, sessions) = (
        routes(&database, &deployment).await,
        deployment.sessions().await,
    );
    let id = active(&database, &routes, "CLINICIAN").await;
    let user: Uuid = id.parse().unwrap();
    for (role, disabled) in [("AUDITOR", false), ("AUDITOR", true)] {
        let session = deployment.begin(user).await.session;
        let response = put(&routes, &id, role, disabled).await;
        assert_eq!(response.status(), StatusCode::OK);
        let state = sessions.check(session, user).await.unwrap();
        assert_eq!(state, Err(NoSession::AllRevoked), "{role} {disabled}");
    }
    assert_eq!(
        put(&routes, &id, "AUDITOR", false).await.status(),
        StatusCode::OK
    );
    let session = deployment.begin(user).await.session;
    assert_eq!(
        put(&routes, &id, "AUDITOR", false).await.status(),
        StatusCode::OK
    );
    assert_eq!(sessions.check(session, user).await.unwrap(), Ok(()));

    // If the sessions cannot be ended, the account is not changed.
    let broken = update_account::routes(database.clone(), no_sessions());
    let response = put(&broken, &id, "AUDITOR", true).await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    let path = format!("/api/accounts/{id}");
    let response = send(&routes, request(Method::GET, &path, None, Role::Admin)).await;
    assert_eq!(json(response).await["disabled"], false);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn an_update_of_an_outdated_version_of_an_account_is_rejected(database: PgPool) {
    let deployment = Deployment::new().await;
    let routes = routes(&database, &deployment).await;
    let id = active(&database, &routes, "CLINICIAN").await;
    let put = async |tag: &str| {
        let body = json!({ "role": "AUDITOR", "disabled": false });
        let mut request = request(
            Method::PUT,
            &format!("/api/accounts/{id}"),
            Some(body),
            Role::Admin,
        );
        request
            .headers_mut()
            .insert(header::IF_MATCH, tag.parse().unwrap());
        send(&routes, request).await.status()
    };
    assert_eq!(put("\"1\"").await, StatusCode::OK);
    assert_eq!(put("\"1\"").await, StatusCode::PRECONDITION_FAILED);
    assert_eq!(put("\"2\"").await, StatusCode::OK);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn the_last_administrator_cannot_be_demoted_or_disabled(database: PgPool) {
    let deployment = Deployment::new().await;
    let routes = routes(&database, &deployment).await;
    let only = active(&database, &routes, "ADMIN").await;
    // One who has not chosen a password cannot log in, so does not count.
    create(&routes, "invited@clinic.example", "ADMIN").await;
    for (role, disabled) in [("ADMIN", true), ("AUDITOR", false)] {
        let response = put(&routes, &only, role, disabled).await;
        assert_eq!(response.status(), StatusCode::CONFLICT, "{role} {disabled}");
    }
    for round in 0..5 {
        let other = active(&database, &routes, "ADMIN").await;
        let (one, two) = tokio::join!(
            put(&routes, &only, "AUDITOR", false),
            put(&routes, &other, "ADMIN", true),
        );
        let mut statuses = [one.status(), two.status()];
        statuses.sort();
        assert_eq!(statuses, [StatusCode::OK, StatusCode::CONFLICT], "{round}");
        for id in [&only, &other] {
            put(&routes, id, "ADMIN", false).await;
        }
        assert_eq!(
            put(&routes, &other, "AUDITOR", false).await.status(),
            StatusCode::OK
        );
    }
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn an_account_that_was_read_can_be_edited_and_written_back(database: PgPool) {
    let deployment = Deployment::new().await;
    let routes = routes(&database, &deployment).await;
    let account = json(create(&routes, "zoe@clinic.example", "CLINICIAN").await).await;
    let path = format!("/api/accounts/{}", account["id"].as_str().unwrap());
    let mut edited = account.clone();
    edited["role"] = json!("AUDITOR");
    let response = send(
        &routes,
        request(Method::PUT, &path, Some(edited), Role::Admin),
    )
    .await;
    assert_eq!(response.status(), StatusCode::OK);
    let changed = json(response).await;
    assert_eq!(changed["role"], "AUDITOR");
    assert_eq!(changed["email"], account["email"]);
    assert_eq!(changed["version"], 2);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn invalid_fields_of_an_account_are_named(database: PgPool) {
    let deployment = Deployment::new().await;
    let routes = routes(&database, &deployment).await;
    let account = json!({ "email": "max@clinic.example", "role": "AUDITOR" });
    for (body, field) in [
        (json!({}), "role"),
        (json!({ "email": "max@clinic.example" }), "role"),
        (
            json!({ "email": "max@clinic.example", "role": "ROOT" }),
            "role",
        ),
        (
            json!({ "email": "max@clinic.example", "role": "AUDITOR", "admin": true }),
            "admin",
        ),
    ] {
        let request = request(
            Method::POST,
            "/api/accounts",
            Some(body.clone()),
            Role::Admin,
        );
        let response = send(&routes, request).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{body}");
        let problem = json(response).await;
        assert!(problem["errors"][field].is_string(), "{body}: {problem}");
    }
    let list = json!(["max@clinic.example", "AUDITOR"]);
    let list = request(Method::POST, "/api/accounts", Some(list), Role::Admin);
    assert_eq!(send(&routes, list).await.status(), StatusCode::BAD_REQUEST);
    let id = json(
        send(
            &routes,
            request(Method::POST, "/api/accounts", Some(account), Role::Admin),
        )
        .await,
    )
    .await["id"]
        .take();
    let path = format!("/api/accounts/{}", id.as_str().unwrap());
    for (body, field) in [
        (json!({ "role": "ADMIN" }), "disabled"),
        (json!({ "disabled": true }), "role"),
    ] {
        let response = send(
            &routes,
            request(Method::PUT, &path, Some(body), Role::Admin),
        )
        .await;
        assert!(json(response).await["errors"][field].is_string(), "{field}");
    }
}

#[track_caller]
fn done(response: &Response) {
    assert_eq!(response.status(), StatusCode::OK);
}

/// How an administrator loses their permissions.
#[derive(Debug, Clone, Copy)]
enum Loss {
    Demoted,
    Disabled,
    LoggedOut,
    LoggedOutEverywhere,
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_former_administrator_cannot_manage_accounts_with_an_old_token(database: PgPool) {
    for (loss, expected) in [
        (Loss::Demoted, StatusCode::UNAUTHORIZED),
        (Loss::Disabled, StatusCode::UNAUTHORIZED),
        (Loss::LoggedOut, StatusCode::UNAUTHORIZED),
        (Loss::LoggedOutEverywhere, StatusCode::UNAUTHORIZED),
    ] {
        let deployment = Deployment::new().await;
        let routes = routes(&database, &deployment).await;
        let sessions = deployment.sessions().await;
        // So that another administrator can still log in.
        active(&database, &routes, "ADMIN").await;
        let id = active(&database, &routes, "ADMIN").await;
        let user: Uuid = id.parse().unwrap();
        let session = deployment.begin(user).await.session;
        match loss {
            Loss::Demoted => done(&put(&routes, &id, "RECEPTIONIST", false).await),
            Loss::Disabled => done(&put(&routes, &id, "ADMIN", true).await),
            Loss::LoggedOut => sessions.end(session).await.unwrap(),
            Loss::LoggedOutEverywhere => sessions.end_all(user).await.unwrap(),
        }
        // The gateway accepts the token for a while longer.
        let send = async |method: Method, path: &str, body: Value| {
            let request = request(method, path, Some(body), Role::Admin);
            send(&routes, in_session(request, user, Role::Admin, session)).await
        };
        let back = json!({ "role": "ADMIN", "disabled": false });
        let answer = send(Method::PUT, &format!("/api/accounts/{id}"), back).await;
        assert_eq!(answer.status(), expected, "{loss:?}");
        let accomplice = json!({ "email": "accomplice@clinic.example", "role": "ADMIN" });
        let answer = send(Method::POST, "/api/accounts", accomplice).await;
        assert_eq!(answer.status(), expected, "{loss:?}");
    }
    let accomplices = "SELECT count(*) FROM auth.user_account WHERE email LIKE 'accomplice%'";
    let accomplices: i64 = sqlx::query_scalar(accomplices)
        .fetch_one(&database)
        .await
        .unwrap();
    assert_eq!(accomplices, 0);
}

/// A valid session does not help a user whose role has changed, even for the moment in which the
/// change of the account is being committed.
#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn creating_an_account_requires_the_current_role(database: PgPool) {
    let deployment = Deployment::new().await;
    let routes = routes(&database, &deployment).await;
    let mut change = database.begin().await.unwrap();
    sqlx::query("UPDATE auth.user_account SET role = 'AUDITOR' WHERE id = $1")
        .bind(CALLER)
        .execute(&mut *change)
        .await
        .unwrap();
    let waiting = create(&routes, "accomplice@clinic.example", "ADMIN");
    let committed = async {
        within_a_lock(&database).await;
        change.commit().await.unwrap();
    };
    let (answer, ()) = tokio::join!(waiting, committed);
    assert_eq!(answer.status(), StatusCode::FORBIDDEN);
    assert_eq!(
        json(answer).await["type"],
        "urn:patient-management:problem:forbidden"
    );
}

/// Waits until a session in the database waits for a lock.
async fn within_a_lock(database: &PgPool) {
    let waiting = "SELECT count(*) FROM pg_stat_activity
                   WHERE wait_event_type = 'Lock' AND datname = current_database()";
    loop {
        let waiting: i64 = sqlx::query_scalar(waiting)
            .fetch_one(database)
            .await
            .unwrap();
        if waiting > 0 {
            return;
        }
    }
}
