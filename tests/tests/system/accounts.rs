//! Accounts from creation to login, and passwords.

use std::{env, time::Duration};

use identity::Role;
use serde_json::{Value, json};
use sqlx::PgPool;
use system_tests::{Clinic, Process, Visitor, eventually, within};
use uuid::Uuid;

const PASSWORD: &str = "staple the horse again";

/// As long as the gateway caches the authorizer's result, and some time for a busy machine.
const UNTIL_FORGOTTEN: Duration = Duration::from_secs(30 + 20);

/// Runs `send-account-messages`, and returns the token in the latest message to this address.
async fn mailed_token(clinic: &Clinic, email: &str, messages: usize) -> String {
    eventually("the one-time token", async || {
        let sent = clinic
            .aws()
            .invoke("send-account-messages", &json!({}))
            .await;
        assert!(!sent.failed, "{sent:?}");
        let mail = clinic.aws().mail_to(email).await;
        let text = mail.get(messages - 1)?.body.text_part.clone()?;
        let mut lines = text.lines().map(ToOwned::to_owned);
        lines.find(|line| line.len() == 43 && !line.contains(' '))
    })
    .await
}

/// The name of everybody who is invited.
const NAME: &str = "Zoe Kiefer";

async fn invite(clinic: &Clinic, administrator: &Visitor, role: Role) -> Value {
    let email = format!("{}@clinic.example", Uuid::new_v4());
    let body = json!({ "email": email, "name": NAME, "role": role });
    let answer = administrator
        .post("/api/accounts")
        .json(&body)
        .answers(201)
        .await;
    let account = answer.json();
    let token = mailed_token(clinic, &email, 1).await;
    let body = json!({ "token": token, "password": PASSWORD });
    clinic
        .stranger()
        .post("/auth/set-password")
        .json(&body)
        .answers(204)
        .await;
    account
}

async fn log_in(clinic: &Clinic, email: &Value, password: &str, status: u16) -> Value {
    let body = json!({ "email": email, "password": password });
    let answer = clinic.stranger().post("/auth/login").json(&body);
    answer.answers(status).await.json()
}

async fn wait_until_rejected(visitor: &Visitor) {
    within(UNTIL_FORGOTTEN, "the end of the session", async || {
        (visitor.get("/api/patients").answer().await.status == 401).then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_account_is_created_updated_and_disabled() {
    let clinic = Clinic::open();
    let administrator = clinic.administrator().await;
    let account = invite(&clinic, &administrator, Role::Clinician).await;
    let path = format!("/api/accounts/{}", account["id"].as_str().unwrap());
    let email = &account["email"];
    let welcome = log_in(&clinic, email, PASSWORD, 200).await;
    assert_eq!(welcome["role"], "CLINICIAN");
    let clinician = clinic.bearer(welcome["token"].as_str().unwrap());
    clinician.get("/api/notifications").answers(403).await;
    clinician.get("/api/patients").answers(200).await;
    let me = clinician.get("/api/me").answers(200).await.json();
    assert_eq!(me["name"], NAME);

    let answer = administrator.get(&path).answers(200).await;
    assert_eq!(answer.json()["hasPassword"], true);
    let tag = answer.header("etag").unwrap().to_owned();
    let change = json!({ "role": "AUDITOR", "disabled": false });
    let put = administrator
        .put(&path)
        .header("If-Match", &tag)
        .json(&change);
    assert_eq!(put.answers(200).await.json()["name"], NAME);
    let put = administrator
        .put(&path)
        .header("If-Match", &tag)
        .json(&change);
    put.answers(412).await;
    wait_until_rejected(&clinician).await;
    let welcome = log_in(&clinic, email, PASSWORD, 200).await;
    let auditor = clinic.bearer(welcome["token"].as_str().unwrap());
    auditor
        .get("/api/notifications?patientId=0199f7a2-6c1e-7c35-9b6c-0d2a54f3c1aa")
        .answers(200)
        .await;

    let change = json!({ "role": "AUDITOR", "disabled": true });
    administrator.put(&path).json(&change).answers(200).await;
    let body = json!({ "refreshToken": welcome["refreshToken"] });
    clinic
        .stranger()
        .post("/auth/refresh")
        .json(&body)
        .answers(401)
        .await;
    log_in(&clinic, email, PASSWORD, 401).await;
    wait_until_rejected(&auditor).await;
    let change = json!({ "role": "AUDITOR", "disabled": false });
    administrator.put(&path).json(&change).answers(200).await;
    log_in(&clinic, email, PASSWORD, 200).await;
}

#[tokio::test]
async fn a_forgotten_password_is_set_and_a_known_one_changed() {
    let clinic = Clinic::open();
    let administrator = clinic.administrator().await;
    let account = invite(&clinic, &administrator, Role::Receptionist).await;
    let email = account["email"].as_str().unwrap();
    // The response does not reveal whether there is such an account.
    for email in [email, "nobody@clinic.example"] {
        let body = json!({ "email": email });
        let answer = clinic
            .stranger()
            .post("/auth/forgotten-password")
            .json(&body);
        assert!(answer.answers(202).await.body.is_empty());
    }
    let token = mailed_token(&clinic, email, 2).await;
    let new = "a quiet morning in may";
    let body = json!({ "token": token, "password": new });
    clinic
        .stranger()
        .post("/auth/set-password")
        .json(&body)
        .answers(204)
        .await;
    let again = clinic.stranger().post("/auth/set-password").json(&body);
    assert!(again.answers(400).await.problem().error("token").is_some());
    log_in(&clinic, &account["email"], PASSWORD, 401).await;

    let welcome = log_in(&clinic, &account["email"], new, 200).await;
    let visitor = clinic.bearer(welcome["token"].as_str().unwrap());
    let change = |old: &str| {
        let body = json!({ "oldPassword": old, "newPassword": "a loud evening in june" });
        visitor.post("/auth/change-password").json(&body)
    };
    let wrong = change(PASSWORD).answers(400).await.problem();
    assert_eq!(
        wrong.error("oldPassword"),
        Some("The old password is wrong")
    );
    change(new).answers(204).await;
    visitor.get("/api/patients").answers(200).await;
    log_in(&clinic, &account["email"], new, 401).await;
    log_in(&clinic, &account["email"], "a loud evening in june", 200).await;
}

#[tokio::test]
async fn an_interrupted_set_password_can_be_repeated_with_the_same_token() {
    let clinic = Clinic::alone();
    let administrator = clinic.administrator().await;
    let account = invite(&clinic, &administrator, Role::Receptionist).await;
    let email = account["email"].as_str().unwrap();
    let body = json!({ "email": email });
    let forgotten = clinic.stranger().post("/auth/forgotten-password");
    forgotten.json(&body).answers(202).await;
    let token = mailed_token(&clinic, email, 2).await;
    let new = "a quiet morning in may";
    let body = json!({ "token": token, "password": new });
    let set = || clinic.stranger().post("/auth/set-password").json(&body);

    // Using up the token and replacing the password are one transaction, which waits for the
    // sessions to end.
    let url = env::var("DATABASE_URL").unwrap();
    let database = PgPool::connect(&url).await.unwrap();
    let frozen = Process::of_service(clinic.stack(), "dynamodb").freeze();
    let request = tokio::spawn(set().attempt());
    let waiting = async || {
        let waiting: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM pg_stat_activity
             WHERE application_name = 'set-password' AND state = 'idle in transaction'",
        )
        .fetch_one(&database)
        .await
        .unwrap();
        (waiting > 0).then_some(())
    };
    eventually("the transaction", waiting).await;
    for process in Process::of_function(clinic.stack(), "set-password") {
        process.kill().await;
    }
    drop(frozen);
    let _ = request.await.unwrap();

    log_in(&clinic, &account["email"], PASSWORD, 200).await;
    // It may be unavailable until the database has noticed that the process is gone.
    eventually("the password", async || {
        let answer = set().answer().await;
        assert!([204, 503].contains(&answer.status), "{answer:?}");
        (answer.status == 204).then_some(())
    })
    .await;
    log_in(&clinic, &account["email"], new, 200).await;
    log_in(&clinic, &account["email"], PASSWORD, 401).await;
}

/// Logs in bypassing the gateway, which in the local stack reports this machine as every caller's
/// address.
async fn log_in_from(clinic: &Clinic, source: &str, email: &str, password: &str) -> Value {
    let mut event: Value =
        serde_json::from_str(include_str!("../../../events/login.json")).unwrap();
    event["requestContext"]["identity"]["sourceIp"] = json!(source);
    event["body"] = json!(json!({ "email": email, "password": password }).to_string());
    let invoked = clinic.aws().invoke("login", &event).await;
    assert!(!invoked.failed, "{invoked:?}");
    invoked.payload
}

#[tokio::test]
async fn login_is_blocked_for_a_guesser_and_not_for_the_owner() {
    let clinic = Clinic::open();
    let user = clinic.hire(Role::Auditor).await;
    let [home, thief] = [0, 1].map(|part| format!("2001:db8:{:x}:{part}::1", std::process::id()));
    let welcome = log_in_from(&clinic, &home, &user.email, &user.password).await;
    assert_eq!(welcome["statusCode"], 200, "{welcome}");

    let unknown = format!("{}@clinic.example", Uuid::new_v4());
    let mut answers = Vec::new();
    for email in [&unknown, &user.email] {
        let blocked = within(Duration::from_mins(2), "the wait", async || {
            let answer = log_in_from(&clinic, &thief, email, "a wrong password").await;
            let status = answer["statusCode"].as_u64().unwrap();
            assert!(matches!(status, 401 | 429), "{answer}");
            (status == 429).then_some(answer)
        })
        .await;
        assert!(
            blocked["headers"]["retry-after"].is_string()
                || blocked["multiValueHeaders"]["retry-after"].is_array(),
            "{blocked}"
        );
        let problem: Value = serde_json::from_str(blocked["body"].as_str().unwrap()).unwrap();
        assert_eq!(
            problem["type"],
            "urn:patient-management:problem:too-many-requests"
        );
        answers.push(problem["detail"].clone());
    }
    assert_eq!(answers[0], answers[1]);
    let welcome = log_in_from(&clinic, &home, &user.email, &user.password).await;
    assert_eq!(welcome["statusCode"], 200, "{welcome}");
}

#[tokio::test]
async fn get_own_account_returns_the_callers_account_and_permissions() {
    let clinic = Clinic::open();
    for &role in Role::ALL {
        let user = clinic.stack().user(role);
        let me = clinic.log_in(role).await.get("/api/me");
        let me = me.answers(200).await.json();
        assert_eq!(me["email"], user.email);
        assert_eq!(me["role"], json!(role));
        let permissions = json!(role.permissions());
        assert_eq!(me["permissions"], permissions);
        let id = me["id"].as_str().unwrap();
        // Recorded, like every read of an account.
        let path = format!("/api/audit?actorId={id}&accountId={id}&action=READ_ACCOUNTS&limit=1");
        let records = clinic.administrator().await.get(&path);
        let records = records.answers(200).await.json();
        assert_eq!(records["records"][0]["outcome"], "SUCCEEDED", "{records}");
        assert_eq!(records["records"][0]["actorName"], me["name"], "{records}");
        assert!(me["name"].is_string(), "{me}");
    }
    clinic.stranger().get("/api/me").answers(401).await;
}

#[tokio::test]
async fn an_auditor_can_read_accounts_but_not_change_them() {
    let clinic = Clinic::open();
    let administrator = clinic.administrator().await;
    let account = invite(&clinic, &administrator, Role::Clinician).await;
    let path = format!("/api/accounts/{}", account["id"].as_str().unwrap());

    let auditor = clinic.log_in(Role::Auditor).await;
    let seen = auditor.get(&path).answers(200).await.json();
    assert_eq!(seen["email"], account["email"]);
    let list = auditor.get("/api/accounts?limit=1").answers(200).await;
    assert!(list.json()["accounts"].is_array());
    let change = json!({ "role": "ADMIN", "disabled": false });
    auditor.put(&path).json(&change).answers(403).await;
    auditor
        .post("/api/accounts")
        .json(&change)
        .answers(403)
        .await;
}
