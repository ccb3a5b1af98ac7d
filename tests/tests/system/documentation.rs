//! What the system publishes about itself: the API document, its page, and its health.

use system_tests::{Clinic, generated::openapi_document};

#[tokio::test]
async fn the_api_document_is_served_and_describes_every_route() {
    let clinic = Clinic::open();
    let answer = clinic.stranger().get("/openapi.json").answers(200).await;
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let document = answer.json();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    for route in route::table() {
        let path = openapi_document::path_of(route);
        let operation = &document["paths"][path][route.method.name().to_lowercase()];
        assert!(
            operation["operationId"].is_string(),
            "{} {}",
            route.method,
            route.path
        );
    }
    // The document states the API's actual address.
    let server = document["servers"][0]["url"].as_str().unwrap();
    assert_eq!(server, clinic.stack().api_url);

    let tag = answer.header("etag").unwrap().to_owned();
    let again = clinic
        .stranger()
        .get("/openapi.json")
        .header("If-None-Match", &tag);
    assert!(again.answers(304).await.body.is_empty());
}

/// The addresses in the page that a browser loads or links to.
fn addresses_in(page: &str) -> Vec<String> {
    let mut addresses = Vec::new();
    for attribute in ["src=\"", "href=\""] {
        for rest in page.split(attribute).skip(1) {
            let address = rest.split('"').next().unwrap_or_default();
            if !address.starts_with('#') {
                addresses.push(address.to_owned());
            }
        }
    }
    addresses
}

#[tokio::test]
async fn the_docs_page_loads_only_assets_of_its_own() {
    let clinic = Clinic::open();
    let answer = clinic.stranger().get("/docs").answers(200).await;
    let content_type = answer.header("content-type").unwrap();
    assert!(content_type.starts_with("text/html"), "{content_type}");
    let policy = answer.header("content-security-policy").unwrap();
    assert!(policy.contains("default-src 'none'"), "{policy}");

    let page = reqwest::Url::parse(&clinic.stack().docs_url).unwrap();
    let addresses = addresses_in(answer.text());
    assert!(
        addresses
            .iter()
            .any(|address| address.ends_with("swagger-ui-bundle.js"))
    );
    for address in addresses {
        let url = page.join(&address).unwrap();
        let path = url.as_str().strip_prefix(&clinic.stack().api_url);
        let path = path.unwrap_or_else(|| panic!("{url} is not part of this API"));
        let asset = clinic.stranger().get(path).answers(200).await;
        let content_type = asset.header("content-type").unwrap();
        let expected = match address.rsplit_once('.') {
            None => "text/html",
            Some((_, "js")) => "text/javascript",
            Some((_, "css")) => "text/css",
            Some((_, "svg")) => "image/svg+xml",
            Some((_, "json")) => "application/json",
            Some((_, other)) => panic!("{address}: no content type is expected for {other}"),
        };
        assert!(
            content_type.starts_with(expected),
            "{address}: {content_type}"
        );
        assert!(!asset.body.is_empty(), "{address}");
    }
    let missing = clinic.stranger().get("/docs/nothing.js").answers(404).await;
    assert_eq!(missing.problem().name(), "not-found");
}

#[tokio::test]
async fn the_docs_page_offers_the_demo_users_of_the_local_stack() {
    let clinic = Clinic::open();
    let script = clinic.stranger().get("/docs/page.js").answers(200).await;
    let page = clinic.stranger().get("/docs").answers(200).await;
    for user in &clinic.stack().users {
        let offered = format!(
            r#"{{ role: "{}", email: "{}", password: "{}" }}"#,
            user.role, user.email, user.password
        );
        assert!(script.text().contains(&offered), "{offered}");
        // Only if the page itself is served from this machine.
        assert!(!page.text().contains(&user.email), "{}", user.email);
    }
    assert!(script.text().contains("IS_LOCAL"));
}

#[tokio::test]
async fn health_reports_that_every_dependency_is_up() {
    let clinic = Clinic::open();
    let health = clinic.stranger().get("/health").answers(200).await.json();
    assert_eq!(health["status"], "UP");
    for dependency in ["database", "billing", "kafka"] {
        let check = &health["checks"][dependency];
        assert_eq!(check["status"], "UP", "{dependency}: {health}");
        assert!(check["latencyMs"].is_u64(), "{dependency}: {health}");
    }
}
