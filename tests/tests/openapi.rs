//! The published description of the API is what the code, the template and the
//! permission table say.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test may end here"
)]

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::Value;
use serde_yaml_ng::Value as Yaml;

const METHODS: [&str; 5] = ["get", "put", "post", "delete", "patch"];

fn read(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn document() -> Value {
    serde_json::from_str(&read("docs/openapi.json")).unwrap()
}

/// A route, with `{}` for every parameter: what a parameter is called differs between
/// the document and the template (`{proxy+}`).
fn route(method: &str, path: &str) -> String {
    let mut plain = String::new();
    let mut depth = 0;
    for character in path.chars() {
        depth -= i32::from(character == '}');
        if depth == 0 {
            plain.push(character);
        }
        depth += i32::from(character == '{');
    }
    format!("{} {plain}", method.to_uppercase())
}

fn operations(document: &Value) -> impl Iterator<Item = (String, &Value)> {
    let paths = document["paths"].as_object().unwrap();
    paths.iter().flat_map(|(path, item)| {
        METHODS
            .iter()
            .filter_map(move |method| Some((route(method, path), item.get(*method)?)))
    })
}

#[test]
fn the_published_document_is_up_to_date() {
    let current = system_tests::openapi_document::json().unwrap();
    assert!(
        read("docs/openapi.json") == current,
        "docs/openapi.json is not what the handlers say; `cargo run -p system-tests --bin openapi-document` writes it anew"
    );
}

#[test]
fn the_document_and_the_template_agree_on_every_route() {
    let template: Yaml = serde_yaml_ng::from_str(&read("template.yaml")).unwrap();
    let mut deployed = BTreeSet::new();
    for (_, resource) in template["Resources"].as_mapping().unwrap() {
        let events = resource["Properties"]["Events"].as_mapping();
        for (_, event) in events.into_iter().flatten() {
            let properties = &event["Properties"];
            if event["Type"].as_str() == Some("Api") {
                let method = properties["Method"].as_str().unwrap();
                let path = properties["Path"].as_str().unwrap();
                deployed.insert(route(method, path));
            }
        }
    }
    // The answer to a preflight is the browser's business, not that of who calls the API.
    deployed.retain(|route| !route.starts_with("OPTIONS "));

    let document = document();
    let documented: BTreeSet<_> = operations(&document).map(|(route, _)| route).collect();
    assert_eq!(documented, deployed);
}

#[test]
fn a_token_is_asked_for_where_the_permission_table_says() {
    let document = document();
    let protected: BTreeSet<_> = operations(&document)
        .filter(|(_, operation)| !operation["security"].is_null())
        .map(|(route, _)| route)
        .collect();
    let permitted: BTreeSet<_> = identity::ROUTES
        .iter()
        .map(|entry| route(entry.method, entry.path))
        .collect();
    let documented: BTreeSet<_> = operations(&document).map(|(route, _)| route).collect();
    let missing: Vec<_> = permitted.difference(&documented).collect();
    assert!(missing.is_empty(), "not documented: {missing:?}");
    // `GET /auth/validate` asks for a token, and lets everybody in who has one.
    let more: Vec<_> = protected.difference(&permitted).collect();
    assert!(
        more.iter().all(|route| route.contains("/auth/")),
        "not in the permission table: {more:?}"
    );
    let open: Vec<_> = permitted.difference(&protected).collect();
    assert!(open.is_empty(), "documented without a token: {open:?}");
}

#[test]
fn every_operation_can_be_found_read_and_called() {
    let document = document();
    let mut names = BTreeSet::new();
    for (route, operation) in operations(&document) {
        let name = operation["operationId"].as_str().unwrap_or_default();
        assert!(!name.is_empty(), "{route} has no operationId");
        assert!(names.insert(name.to_owned()), "{name} is used twice");
        for field in ["summary", "tags"] {
            assert!(!operation[field].is_null(), "{route} has no {field}");
        }
        let responses = operation["responses"].as_object().unwrap();
        for (status, response) in responses {
            let content = &response["content"];
            let wrong = status.starts_with('4') || status.starts_with('5');
            let health = route == "GET /health";
            if (wrong || status == "default") && !health {
                let schema = &content["application/problem+json"]["schema"]["$ref"];
                assert_eq!(
                    schema, "#/components/schemas/ProblemDocument",
                    "{route} {status}"
                );
            }
        }
    }
}

#[test]
fn every_reference_leads_somewhere() {
    fn references(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(members) => {
                for (name, member) in members {
                    match member.as_str() {
                        Some(target) if name == "$ref" => {
                            found.insert(target.to_owned());
                        }
                        _ => references(member, found),
                    }
                }
            }
            Value::Array(items) => items.iter().for_each(|item| references(item, found)),
            _ => {}
        }
    }
    let document = document();
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    assert!(!found.is_empty());
    for target in found {
        let pointer = target.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{target}");
    }
}
