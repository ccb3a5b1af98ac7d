//! Refreshing sessions, logging out, and rotating the signing key.

use std::time::Duration;

use identity::{Role, testing::Key};
use serde_json::{Value, json};
use system_tests::{Answer, Clinic, Process, Visitor, within};

/// As long as the gateway caches the authorizer's result, and some time for a busy machine.
const UNTIL_FORGOTTEN: Duration = Duration::from_secs(30 + 20);

async fn refresh(clinic: &Clinic, token: &Value) -> Answer {
    let body = json!({ "refreshToken": token });
    clinic
        .stranger()
        .post("/auth/refresh")
        .json(&body)
        .answer()
        .await
}

fn visitor(clinic: &Clinic, welcome: &Value) -> Visitor {
    clinic.bearer(welcome["token"].as_str().unwrap())
}

async fn wait_until_rejected(visitor: &Visitor) {
    within(UNTIL_FORGOTTEN, "the end of the session", async || {
        let answer = visitor.get("/api/patients").answer().await;
        assert!(matches!(answer.status, 200 | 401), "{answer:?}");
        (answer.status == 401).then_some(())
    })
    .await;
    visitor.get("/auth/validate").answers(401).await;
}

#[tokio::test]
async fn a_session_can_be_refreshed_repeatedly() {
    let clinic = Clinic::open();
    let mut welcome = clinic.welcome(clinic.stack().user(Role::Auditor)).await;
    for _ in 0..3 {
        let answer = refresh(&clinic, &welcome["refreshToken"]).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        let next = answer.json();
        assert_eq!(next["expiresIn"], 900);
        assert_eq!(next["role"], "AUDITOR");
        assert_ne!(next["refreshToken"], welcome["refreshToken"]);
        visitor(&clinic, &next)
            .get("/api/patients")
            .answers(200)
            .await;
        welcome = next;
    }
}

#[tokio::test]
async fn reuse_of_a_stolen_refresh_token_ends_the_session() {
    let clinic = Clinic::open();
    let user = clinic.hire(Role::Clinician).await;
    let first = clinic.welcome(&user).await;
    let owner = refresh(&clinic, &first["refreshToken"]).await.json();
    // The thief is within the grace period, and gets the same token as the owner.
    let thief = refresh(&clinic, &first["refreshToken"]).await;
    assert_eq!(thief.status, 200, "{thief:?}");
    let thief = thief.json();
    assert_eq!(thief["refreshToken"], owner["refreshToken"]);
    // The owner goes on, and uses the tokens that follow.
    let owner = refresh(&clinic, &owner["refreshToken"]).await.json();
    let owner = refresh(&clinic, &owner["refreshToken"]).await.json();

    let found = refresh(&clinic, &thief["refreshToken"]).await;
    assert_eq!(found.status, 401, "{found:?}");
    let problem = found.problem();
    assert_eq!(problem.name(), "unauthorized");
    assert_eq!(problem.detail, "The session is over, please log in again");
    assert_eq!(refresh(&clinic, &owner["refreshToken"]).await.status, 401);
    wait_until_rejected(&visitor(&clinic, &thief)).await;
    clinic.welcome(&user).await;
}

#[tokio::test]
async fn concurrent_refreshes_all_succeed() {
    let clinic = Clinic::open();
    let welcome = clinic.welcome(clinic.stack().user(Role::Auditor)).await;
    let token = &welcome["refreshToken"];
    let answers = tokio::join!(
        refresh(&clinic, token),
        refresh(&clinic, token),
        refresh(&clinic, token),
        refresh(&clinic, token),
    );
    for answer in [&answers.0, &answers.1, &answers.2, &answers.3] {
        assert_eq!(answer.status, 200, "{answer:?}");
        let answer = answer.json();
        let visitor = visitor(&clinic, &answer);
        visitor.get("/auth/validate").answers(200).await;
        // Whichever response a front end keeps, it can go on with it.
        let next = refresh(&clinic, &answer["refreshToken"]).await;
        assert_eq!(next.status, 200, "{next:?}");
    }
}

#[tokio::test]
async fn logout_ends_one_session_and_logout_all_ends_all() {
    let clinic = Clinic::open();
    let user = clinic.hire(Role::Receptionist).await;
    let (here, there) = (clinic.welcome(&user).await, clinic.welcome(&user).await);
    let (at_desk, at_home) = (visitor(&clinic, &here), visitor(&clinic, &there));
    at_desk.get("/api/patients").answers(200).await;

    at_desk.post("/auth/logout").answers(204).await;
    assert_eq!(refresh(&clinic, &here["refreshToken"]).await.status, 401);
    at_desk.get("/auth/validate").answers(401).await;
    wait_until_rejected(&at_desk).await;

    at_home.get("/api/patients").answers(200).await;
    let there = refresh(&clinic, &there["refreshToken"]).await;
    assert_eq!(there.status, 200, "{there:?}");
    let there = there.json();

    let third = visitor(&clinic, &clinic.welcome(&user).await);
    third.post("/auth/logout-all").answers(204).await;
    assert_eq!(refresh(&clinic, &there["refreshToken"]).await.status, 401);
    wait_until_rejected(&at_home).await;
    wait_until_rejected(&third).await;
    let again = visitor(&clinic, &clinic.welcome(&user).await);
    again.get("/api/patients").answers(200).await;
}

#[tokio::test]
async fn requests_are_rejected_while_sessions_cannot_be_checked() {
    let clinic = Clinic::alone();
    let user = clinic.stack().user(Role::Auditor);
    let welcome = clinic.welcome(user).await;
    let fresh = visitor(&clinic, &welcome);
    let frozen = Process::of_service(clinic.stack(), "dynamodb").freeze();

    let answer = fresh.get("/api/patients").answers(500).await;
    assert_eq!(answer.problem().name(), "internal");
    let answer = fresh.get("/auth/validate").answers(503).await;
    assert_eq!(answer.problem().name(), "unavailable");
    assert_eq!(refresh(&clinic, &welcome["refreshToken"]).await.status, 503);
    let body = json!({ "email": user.email, "password": user.password });
    let login = clinic.stranger().post("/auth/login").json(&body);
    login.answers(503).await;
    drop(frozen);

    fresh.get("/api/patients").answers(200).await;
    assert_eq!(refresh(&clinic, &welcome["refreshToken"]).await.status, 200);
}

#[tokio::test]
async fn the_signing_key_is_rotated_without_rejecting_any_token() {
    let clinic = Clinic::alone();
    let before = clinic.log_in(Role::Auditor).await;
    // Has the keys read now, and not again for the next few seconds.
    let user = before.get("/auth/validate").answers(200).await.json();
    let id = |name: &str| user[name].as_str().unwrap().parse().unwrap();
    let token_of = |key: &Key| {
        key.tokens
            .issue(id("sub"), Role::Auditor, id("sid"))
            .unwrap()
    };
    let foreign = clinic.bearer(&token_of(&Key::generate()));
    foreign.get("/api/patients").answers(401).await;
    let rotated = clinic.aws().invoke("rotate-signing-key", &json!({})).await;
    assert!(!rotated.failed, "{rotated:?}");
    let rotated = rotated.payload;
    assert_ne!(rotated["id"], rotated["succeeds"]);
    before.get("/auth/validate").answers(200).await;

    // As signed by a login that has not used the previous key.
    let secret = format!("{}/signing-key", clinic.stack().stack_name);
    let key = Key::from_pem(clinic.aws().secret(&secret).await).unwrap();
    assert_eq!(rotated["id"], key.id);
    let bearer = clinic.bearer(&token_of(&key));
    bearer.get("/auth/validate").answers(200).await;
    bearer.get("/api/patients").answers(200).await;
    before.get("/api/patients").answers(200).await;
    let after = clinic.log_in(Role::Auditor).await;
    after.get("/api/patients").answers(200).await;

    // The published keys contain it once their caches have expired.
    within(UNTIL_FORGOTTEN, "the published key", async || {
        let keys = clinic.stranger().get("/auth/.well-known/jwks.json");
        let keys = keys.answers(200).await;
        keys.text().contains(&key.id).then_some(())
    })
    .await;

    let unknown = json!({ "compromised": "yes" });
    let refused = clinic.aws().invoke("rotate-signing-key", &unknown).await;
    assert!(refused.failed, "{refused:?}");
}
