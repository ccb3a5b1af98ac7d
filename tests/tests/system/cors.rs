//! Cross-origin requests from web pages.

use std::collections::BTreeSet;

use serde_json::json;
use system_tests::{Answer, Clinic};

/// The default in `template.yaml`.
const ALLOWED: &str = "http://localhost:3000";
const FOREIGN: &str = "https://evil.example";

const EXPOSED: [&str; 7] = [
    "allow",
    "content-disposition",
    "etag",
    "location",
    "retry-after",
    "x-request-id",
    "idempotency-replayed",
];

fn list(answer: &Answer, name: &str) -> BTreeSet<String> {
    let value = answer.header(name).unwrap_or_default();
    let words = value.split(',').map(|word| word.trim().to_lowercase());
    words.filter(|word| !word.is_empty()).collect()
}

#[tokio::test]
async fn preflights_from_an_allowed_origin_are_accepted_for_every_route() {
    let clinic = Clinic::open();
    for (method, path) in [
        ("POST", "/auth/login"),
        ("POST", "/auth/refresh"),
        ("POST", "/auth/logout"),
        ("POST", "/auth/logout-all"),
        ("POST", "/auth/change-password"),
        ("POST", "/auth/forgotten-password"),
        ("POST", "/auth/set-password"),
        ("GET", "/api/accounts"),
        ("PUT", "/api/accounts/0199f7a2-6c1e-7c35-9b6c-0d2a54f3c1aa"),
        ("GET", "/api/patients"),
        ("POST", "/api/patients"),
        ("PUT", "/api/patients/0199f7a2-6c1e-7c35-9b6c-0d2a54f3c1aa"),
        (
            "DELETE",
            "/api/patients/0199f7a2-6c1e-7c35-9b6c-0d2a54f3c1aa",
        ),
        (
            "GET",
            "/api/patients/0199f7a2-6c1e-7c35-9b6c-0d2a54f3c1aa/billing-account",
        ),
        ("GET", "/api/analytics/patients"),
        ("GET", "/api/notifications"),
        ("GET", "/health"),
    ] {
        let answer = clinic
            .stranger()
            .call("OPTIONS", path)
            .header("Origin", ALLOWED)
            .header("Access-Control-Request-Method", method)
            .header(
                "Access-Control-Request-Headers",
                "authorization,content-type,if-match",
            )
            .answers(204)
            .await;
        assert_eq!(
            answer.header("access-control-allow-origin"),
            Some(ALLOWED),
            "{answer:?}"
        );
        let methods = list(&answer, "access-control-allow-methods");
        assert!(methods.contains(&method.to_lowercase()), "{answer:?}");
        let headers = list(&answer, "access-control-allow-headers");
        for header in ["authorization", "content-type", "if-match"] {
            assert!(headers.contains(header), "{answer:?}");
        }
        assert!(answer.header("access-control-allow-credentials").is_none());
    }
}

#[tokio::test]
async fn preflights_from_a_foreign_origin_are_not_allowed() {
    let clinic = Clinic::open();
    let answer = clinic
        .stranger()
        .call("OPTIONS", "/api/patients")
        .header("Origin", FOREIGN)
        .header("Access-Control-Request-Method", "GET")
        .answer()
        .await;
    for name in [
        "access-control-allow-origin",
        "access-control-allow-methods",
    ] {
        assert!(answer.header(name).is_none(), "{answer:?}");
    }
}

#[tokio::test]
async fn a_page_of_an_allowed_origin_can_read_every_response() {
    let clinic = Clinic::open();
    let visitor = clinic.administrator().await;
    let here = |call: system_tests::Call| call.header("Origin", ALLOWED);
    let stranger = clinic.stranger();
    let calls = [
        here(visitor.get("/api/patients?limit=1")),
        here(visitor.post("/api/patients")).json(&json!({})),
        here(visitor.get("/api/patients/0199f7a2-6c1e-7c35-9b6c-0d2a54f3c1aa")),
        here(stranger.post("/auth/login")).json(&json!({})),
        here(stranger.get("/health")),
    ];
    for call in calls {
        let answer = call.answer().await;
        assert_eq!(
            answer.header("access-control-allow-origin"),
            Some(ALLOWED),
            "{answer:?}"
        );
        assert!(list(&answer, "vary").contains("origin"), "{answer:?}");
        let exposed = list(&answer, "access-control-expose-headers");
        for name in EXPOSED {
            assert!(exposed.contains(name), "{name}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn a_page_of_a_foreign_origin_cannot_read_a_response_with_data() {
    let clinic = Clinic::open();
    let visitor = clinic.administrator().await;
    let answer = visitor
        .get("/api/patients?limit=1")
        .header("Origin", FOREIGN)
        .answer()
        .await;
    assert!(
        answer.header("access-control-allow-origin").is_none(),
        "{answer:?}"
    );
}

#[tokio::test]
async fn a_page_can_read_why_the_gateway_rejects_a_request() {
    let clinic = Clinic::open();
    let auditor = clinic.log_in(identity::Role::Auditor).await;
    let stranger = clinic.stranger();
    for (call, status) in [
        (stranger.get("/api/patients"), 401),
        (auditor.post("/api/patients"), 403),
        (stranger.get("/nothing"), 404),
    ] {
        let answer = call.header("Origin", ALLOWED).answers(status).await;
        let origin = answer.header("access-control-allow-origin");
        assert!(matches!(origin, Some("*" | ALLOWED)), "{answer:?}");
        assert_eq!(answer.problem().status, Some(status));
    }
}
