//! HEAD, methods that a route does not support, and trailing slashes, for every route.

use std::{collections::BTreeMap, fs, path::Path};

use serde_json::Value;
use system_tests::{Answer, Clinic, Visitor};

const ALLOWED_ORIGIN: &str = "http://localhost:3000";

/// A path of the API document, the query that a GET needs, and its methods.
struct Route {
    path: String,
    query: String,
    methods: Vec<String>,
}

impl Route {
    fn has(&self, method: &str) -> bool {
        self.methods.iter().any(|own| own == method)
    }
}

/// All paths, with a value for each parameter.
async fn routes(administrator: &Visitor) -> Vec<Route> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/openapi.json");
    let document: Value = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
    let paths: BTreeMap<String, BTreeMap<String, Value>> =
        serde_json::from_value(document["paths"].clone()).unwrap();
    assert!(paths.len() > 20, "{}", paths.len());

    let patient = administrator.register_somebody().await;
    let accounts = administrator.get("/api/accounts").answers(200).await.json();
    let account = accounts["accounts"][0]["id"].as_str().unwrap().to_owned();
    let routes = paths.into_iter().map(|(path, item)| {
        let id = if path.starts_with("/api/accounts") {
            account.clone()
        } else {
            patient.id.to_string()
        };
        Route {
            query: match path.as_str() {
                "/api/analytics/patients" => "?from=2026-01-01&to=2026-01-31".to_owned(),
                "/api/notifications" => format!("?patientId={}", patient.id),
                _ => String::new(),
            },
            path: path
                .replace("{id}", &id)
                .replace("{version}", "1")
                .replace("{file}", "page.css"),
            methods: item.keys().map(|method| method.to_uppercase()).collect(),
        }
    });
    routes.collect()
}

/// The headers that describe the resource. The others concern the individual request and its
/// connection.
fn telling(answer: &Answer) -> BTreeMap<String, String> {
    let own = [
        "date",
        "x-request-id",
        "x-amzn-requestid",
        "x-amz-apigw-id",
        "x-amzn-trace-id",
        "content-length",
        "x-amzn-remapped-content-length",
    ];
    let headers = answer.headers.iter();
    let telling = headers.filter(|(name, _)| !own.contains(&name.as_str()));
    telling
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
        .collect()
}

#[tokio::test]
async fn head_returns_the_headers_of_get_without_a_body() {
    let clinic = Clinic::open();
    let administrator = clinic.administrator().await;
    let mut tried = 0;
    for route in routes(&administrator).await {
        if !route.has("GET") {
            continue;
        }
        for visitor in [&administrator, &clinic.stranger()] {
            let path = format!("{}{}", route.path, route.query);
            let get = visitor.get(&path).answer().await;
            let head = visitor.call("HEAD", &path).answer().await;
            assert_eq!(head.status, get.status, "{get:?} {head:?}");
            assert_eq!(telling(&head), telling(&get), "{path}");
            assert!(head.body.is_empty(), "{head:?}");
        }
        tried += 1;
    }
    assert!(tried > 10, "{tried}");
}

#[tokio::test]
async fn head_is_recorded_and_requires_the_permission_of_get() {
    let clinic = Clinic::open();
    let administrator = clinic.administrator().await;
    let patient = administrator.register_somebody().await;
    let path = format!("/api/patients/{}", patient.id);
    administrator.call("HEAD", &path).answers(200).await;
    let trail = format!("/api/audit?patientId={}&action=READ_PATIENT", patient.id);
    let records = administrator.get(&trail).answers(200).await.json();
    assert_eq!(records["records"].as_array().unwrap().len(), 1, "{records}");

    let clinician = clinic.log_in(identity::Role::Clinician).await;
    clinician.call("HEAD", &path).answers(200).await;
    clinician.call("HEAD", "/api/audit").answers(403).await;
    clinic.stranger().call("HEAD", &path).answers(401).await;
}

#[tokio::test]
async fn an_unsupported_method_gets_405_with_the_supported_ones() {
    let clinic = Clinic::open();
    let administrator = clinic.administrator().await;
    for route in routes(&administrator).await {
        for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"] {
            if route.has(method) || method == "HEAD" && route.has("GET") {
                continue;
            }
            for visitor in [&administrator, &clinic.stranger()] {
                let call = visitor.call(method, &route.path);
                let call = call.header("Origin", ALLOWED_ORIGIN);
                let answer = call.answers(405).await;
                let allow = answer.header("allow").unwrap_or_default();
                let allow: Vec<_> = allow.split(", ").collect();
                for own in &route.methods {
                    assert!(allow.contains(&own.as_str()), "{answer:?}");
                }
                assert!(!allow.contains(&method), "{answer:?}");
                let origin = answer.header("access-control-allow-origin");
                assert_eq!(origin, Some(ALLOWED_ORIGIN), "{answer:?}");
                if method != "HEAD" {
                    assert_eq!(answer.problem().name(), "method-not-allowed");
                }
            }
        }
    }
}

#[tokio::test]
async fn responses_for_unknown_paths_can_be_read_by_a_page() {
    let clinic = Clinic::open();
    let administrator = clinic.administrator().await;
    for path in ["/", "/nothing", "/api", "/api/patients/1/nothing/at/all"] {
        for visitor in [&administrator, &clinic.stranger()] {
            let here = |method: &str| visitor.call(method, path).header("Origin", ALLOWED_ORIGIN);
            let preflight = here("OPTIONS").header("Access-Control-Request-Method", "GET");
            preflight.answers(204).await;
            let answer = here("GET").answers(404).await;
            let origin = answer.header("access-control-allow-origin");
            assert_eq!(origin, Some(ALLOWED_ORIGIN), "{answer:?}");
            assert_eq!(answer.problem().name(), "not-found");
        }
    }
}

/// Routes that ask for something that these tests do not set up: an appointment, a service, a
/// resource, a template, a group, an import, an export, or the token of a link.
const ASKS_FOR: [&str; 15] = [
    "/api/appointments/",
    "/api/availability",
    "/api/groups/",
    "/api/patients/exports/",
    "/api/patients/imports/",
    "/api/resources/",
    "/api/billing/",
    "/api/charges/",
    "/api/invoices/",
    "/api/payments/",
    "/api/refunds/",
    "/api/analytics/appointments",
    "/api/notification-templates/",
    "/appointment-links/",
    "/unsubscribe/",
];

/// Whether the path has no route with this method. A route may know nothing of what is asked for.
fn leads_nowhere(answer: &Answer) -> bool {
    // A document is no text.
    let text = String::from_utf8_lossy(&answer.body);
    answer.status == 405 || text.contains("There is no such route")
}

#[tokio::test]
async fn a_trailing_slash_makes_no_difference() {
    let clinic = Clinic::open();
    let administrator = clinic.administrator().await;
    for route in routes(&administrator).await {
        for method in &route.methods {
            // Without a token and a body nothing is changed.
            let visitor = clinic.stranger();
            let plain = visitor.call(method, &route.path).answer().await;
            let slash = format!("{}/", route.path);
            let answer = visitor.call(method, &slash).answer().await;
            if route.path == "/docs" {
                assert_eq!(answer.status, 308, "{answer:?}");
            } else {
                assert_eq!(answer.status, plain.status, "{answer:?}");
                assert!(!leads_nowhere(&answer), "{answer:?}");
            }
        }
        if route.has("GET") && route.path != "/docs" {
            let path = format!("{}/{}", route.path, route.query);
            let answer = administrator.get(&path).answer().await;
            let plain = format!("{}{}", route.path, route.query);
            let plain = administrator.get(&plain).answer().await;
            assert_eq!(answer.status, plain.status, "{answer:?}");
            assert!(!leads_nowhere(&answer), "{answer:?}");
            let may_lack_it = ASKS_FOR.iter().any(|path| route.path.starts_with(path));
            let is_answer = [200, 503].contains(&answer.status);
            assert!(
                is_answer || may_lack_it && [400, 404].contains(&answer.status),
                "{answer:?}"
            );
        }
    }
    // The authorizer's policy denies the path with a trailing slash, too.
    let clinician = clinic.log_in(identity::Role::Clinician).await;
    let patient = administrator.register_somebody().await;
    let account = format!("/api/patients/{}/billing-account/", patient.id);
    clinician.get(&account).answers(403).await;
}
