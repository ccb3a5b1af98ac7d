//! The pages that say who may do what are what the code and the template say.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test may end here"
)]

use std::{fs, path::Path};

use identity::ROUTES;
use serde_yaml_ng::Value as Yaml;
use system_tests::permission_documents;

const HOW: &str = "`cargo run --bin permission-documents` writes it anew, if that is meant";

fn read(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn the_page_of_the_roles_is_up_to_date() {
    let current = permission_documents::of_roles().unwrap();
    assert!(
        read("docs/permissions.md") == current,
        "docs/permissions.md is not the table: {HOW}"
    );
}

#[test]
fn the_readme_says_what_each_role_may_do() {
    let readme = read("README.md");
    let current = permission_documents::in_readme(&readme).unwrap();
    assert!(readme == current, "README.md is not the table: {HOW}");
}

#[test]
fn no_function_may_do_anything_that_is_not_on_its_page() {
    let current = permission_documents::of_functions(&read("template.yaml")).unwrap();
    assert!(
        read("docs/function-permissions.md") == current,
        "docs/function-permissions.md is not what the template says: {HOW}"
    );
    for line in current.lines() {
        // SES has no resource to name before an identity is verified, and EC2 none to describe.
        let exception = ["ses:VerifyEmailIdentity", "ec2:DescribeVpcs"]
            .iter()
            .any(|action| line.contains(action));
        assert!(
            !line.contains("| * |") || exception,
            "everything is too much: {line}"
        );
        assert!(!line.contains(":*"), "every action is too much: {line}");
    }
}

/// Routes that nobody needs a token for. Each is one that a secret of its own opens, or
/// that says nothing about anybody.
const OPEN: [&str; 10] = [
    "POST /auth/login",
    "POST /auth/refresh",
    "POST /auth/forgotten-password",
    "POST /auth/set-password",
    "GET /auth/validate",
    "GET /auth/.well-known/jwks.json",
    "GET /health",
    "GET /openapi.json",
    "GET /docs",
    "GET /docs/{proxy+}",
];

#[test]
fn every_route_of_the_template_is_in_the_permission_table_or_open_on_purpose() {
    let template: Yaml = serde_yaml_ng::from_str(&read("template.yaml")).unwrap();
    let (mut open, mut closed) = (Vec::new(), Vec::new());
    for (_, resource) in template["Resources"].as_mapping().unwrap() {
        for (_, event) in resource["Properties"]["Events"]
            .as_mapping()
            .into_iter()
            .flatten()
        {
            let properties = &event["Properties"];
            let text = |name: &str| properties[name].as_str().unwrap().to_owned();
            // HEAD goes with GET, and ANY is for what is no route.
            if event["Type"] != "Api" || ["HEAD", "ANY"].contains(&text("Method").as_str()) {
                continue;
            }
            let route = format!("{} {}", text("Method"), text("Path"));
            if properties["Auth"]["Authorizer"] == "NONE" {
                open.push(route);
            } else {
                closed.push(route);
            }
        }
    }
    open.sort();
    closed.sort();
    let mut expected: Vec<String> = OPEN.iter().map(ToString::to_string).collect();
    expected.sort();
    assert_eq!(open, expected);
    let mut table: Vec<String> = ROUTES
        .iter()
        .map(|route| format!("{} {}", route.method, route.path))
        .collect();
    table.sort();
    assert_eq!(closed, table);
}
