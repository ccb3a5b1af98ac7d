//! Nobody may do more than is meant.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test may end here"
)]

use std::{fs, path::Path};

fn read(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn no_function_may_do_everything_or_do_it_to_everything() {
    for line in read("docs/function-permissions.md").lines() {
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
    "GET /docs/{file+}",
];

#[test]
fn every_route_requires_a_permission_or_is_open_on_purpose() {
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
