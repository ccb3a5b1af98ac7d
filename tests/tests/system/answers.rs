//! The headers of every response, from a function or from the gateway itself.

use std::{fs, path::Path};

use identity::Role;
use serde_json::json;
use serde_yaml_ng::Value as Yaml;
use system_tests::{Answer, Clinic};

/// The headers of every response that is not a page: the browser must not guess its type, must not
/// store it, and must use TLS from now on.
const HEADERS: [(&str, &str); 3] = [
    ("x-content-type-options", "nosniff"),
    ("cache-control", "no-store"),
    ("strict-transport-security", "max-age=63072000"),
];

fn assert_headers(answer: &Answer) {
    for (name, value) in HEADERS {
        assert_eq!(answer.header(name), Some(value), "{name}: {answer:?}");
    }
}

#[tokio::test]
async fn responses_of_functions_have_the_security_headers() {
    let clinic = Clinic::open();
    let administrator = clinic.administrator().await;
    let stranger = clinic.stranger();
    for (call, status) in [
        (administrator.get("/api/patients?limit=1"), 200),
        (stranger.post("/auth/login").json(&json!({})), 400),
        (stranger.get("/auth/validate"), 401),
        (stranger.get("/nothing"), 404),
    ] {
        let answer = call.answers(status).await;
        assert!(answer.header("x-amzn-errortype").is_none(), "{answer:?}");
        assert_headers(&answer);
    }
}

#[tokio::test]
async fn responses_of_the_gateway_have_the_security_headers() {
    let clinic = Clinic::open();
    let auditor = clinic.log_in(Role::Auditor).await;
    let stranger = clinic.stranger();
    for (call, status) in [
        (stranger.get("/api/patients"), 401),
        (clinic.bearer("a.b.c").get("/api/patients"), 401),
        (auditor.post("/api/patients"), 403),
    ] {
        let answer = call.answers(status).await;
        assert!(answer.header("x-amzn-errortype").is_some(), "{answer:?}");
        assert_headers(&answer);
        let request_id = answer.header("x-request-id");
        assert_eq!(request_id, Some(&*answer.problem().request_id));
    }
}

/// Some of them cannot be provoked in a local stack: a body of 10 MiB, too many requests.
#[test]
fn every_gateway_response_in_the_template_has_the_security_headers() {
    let template = Path::new(env!("CARGO_MANIFEST_DIR")).join("../template.yaml");
    let template: Yaml = serde_yaml_ng::from_str(&fs::read_to_string(template).unwrap()).unwrap();
    let answers = &template["Resources"]["Api"]["Properties"]["GatewayResponses"];
    let answers = answers.as_mapping().unwrap();
    for kind in ["DEFAULT_4XX", "DEFAULT_5XX"] {
        assert!(answers.contains_key(kind), "{kind}");
    }
    for (kind, answer) in answers {
        let headers = &answer["ResponseParameters"]["Headers"];
        let headers = headers.as_mapping().unwrap();
        for (name, value) in HEADERS {
            let said = headers.iter().find(|(header, _)| {
                let header = header.as_str().unwrap_or_default();
                header.eq_ignore_ascii_case(name)
            });
            let said = said.and_then(|(_, value)| value.as_str());
            assert_eq!(said, Some(&*format!("'{value}'")), "{name} of {kind:?}");
        }
        // A page may read the whole response.
        let said = |name: &str| headers[name].as_str().unwrap();
        assert_eq!(said("Access-Control-Allow-Origin"), "'*'", "{kind:?}");
        let exposed = said("Access-Control-Expose-Headers");
        assert_eq!(exposed, "'Retry-After, X-Request-Id'", "{kind:?}");
        assert_eq!(said("X-Request-Id"), "context.requestId", "{kind:?}");
        let comes_again = ["THROTTLED"].iter().any(|again| *kind == *again);
        assert!(!comes_again || headers.contains_key("Retry-After"));
    }
}

/// Whether it is really compressed or not: nothing here decompresses anything.
#[tokio::test]
async fn every_route_with_a_body_rejects_a_compressed_one() {
    // `{}`, compressed with gzip.
    const PACKED: [u8; 22] = [
        31, 139, 8, 0, 0, 0, 0, 0, 0, 3, 171, 174, 5, 0, 67, 191, 166, 163, 2, 0, 0, 0,
    ];
    let clinic = Clinic::open();
    let administrator = clinic.administrator().await;
    let nobody = uuid::Uuid::now_v7();
    for (method, path) in [
        ("POST", "/auth/login".to_owned()),
        ("POST", "/auth/refresh".to_owned()),
        ("POST", "/auth/forgotten-password".to_owned()),
        ("POST", "/auth/set-password".to_owned()),
        ("POST", "/auth/change-password".to_owned()),
        ("POST", "/api/accounts".to_owned()),
        ("PUT", format!("/api/accounts/{nobody}")),
        ("POST", "/api/patients".to_owned()),
        ("PUT", format!("/api/patients/{nobody}")),
        ("PUT", format!("/api/patients/{nobody}/restriction")),
        ("POST", format!("/api/patients/{nobody}/emergency-access")),
    ] {
        for (encoding, body) in [("gzip", &b"{}"[..]), ("gzip", &PACKED), ("br", b"{}")] {
            let call = administrator.call(method, &path);
            let call = call.header("Content-Encoding", encoding);
            let answer = call.body("application/json", body).answer().await;
            // Administrators may not use emergency access.
            if answer.status == 403 && path.ends_with("emergency-access") {
                continue;
            }
            assert_eq!(answer.status, 415, "{encoding}: {answer:?}");
            assert_eq!(answer.problem().name(), "unsupported-media-type");
            assert_eq!(answer.header("accept-encoding"), Some("identity"));
        }
    }
}
