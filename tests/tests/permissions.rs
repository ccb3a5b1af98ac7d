//! Nobody may do more than intended.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests fail by panicking"
)]

use std::{fs, path::Path};

fn read(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn no_function_has_wildcard_permissions() {
    for line in read("docs/function-permissions.md").lines() {
        // Before it is verified, an SES identity is not a resource, a telephone number never is,
        // and DescribeVpcs does not support any.
        let exception = ["ses:VerifyEmailIdentity", "sns:Publish", "ec2:DescribeVpcs"]
            .iter()
            .any(|action| line.contains(action));
        assert!(
            !line.contains("| * |") || exception,
            "allows access to every resource: {line}"
        );
        assert!(!line.contains(":*"), "allows every action: {line}");
    }
}

/// A front end that shows what somebody may do finds the names of `GET /api/me` there.
#[test]
fn permissions_are_called_as_the_api_calls_them() {
    let document: serde_json::Value = serde_json::from_str(&read("docs/openapi.json")).unwrap();
    let names = &document["components"]["schemas"]["Permission"]["enum"];
    let names: Vec<&str> = names
        .as_array()
        .unwrap()
        .iter()
        .map(|name| name.as_str().unwrap())
        .collect();
    let page = read("docs/permissions.md");
    let rows: Vec<&str> = page
        .lines()
        .filter(|line| line.starts_with("| `"))
        .collect();
    assert!(rows.len() > 100, "{}", rows.len());
    for row in rows {
        let permission = row.split('|').nth(2).unwrap().trim().trim_matches('`');
        assert!(names.contains(&permission), "{row}");
    }
}

/// Routes that need no access token. Each is either protected by a secret of its own, or reveals
/// nothing about anybody.
const OPEN: [&str; 14] = [
    "POST /auth/login",
    "POST /auth/refresh",
    "POST /auth/forgotten-password",
    "POST /auth/set-password",
    "GET /auth/validate",
    "GET /auth/.well-known/jwks.json",
    "GET /health",
    "GET /openapi.json",
    "GET /docs",
    "GET /docs/{file+}",
    "GET /appointment-links/{token}",
    "POST /appointment-links/{token}",
    "GET /unsubscribe/{token}",
    "POST /unsubscribe/{token}",
];

#[test]
fn every_route_requires_a_permission_or_is_deliberately_open() {
    let mut open: Vec<String> = route::table()
        .iter()
        .filter(|row| row.permission.is_none())
        .map(|row| format!("{} {}", row.method, row.path))
        .collect();
    open.sort();
    let mut expected: Vec<String> = OPEN.iter().map(ToString::to_string).collect();
    expected.sort();
    assert_eq!(open, expected);
}
