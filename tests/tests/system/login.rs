//! Login, and the validation of access tokens.

use identity::{PublicKeys, Role, verify};
use serde_json::{Value, json};
use system_tests::{Clinic, Problem};

#[tokio::test]
async fn login_works_for_every_demo_user_with_their_role() {
    let clinic = Clinic::open();
    for &role in Role::ALL {
        let user = clinic.stack().user(role);
        let body = json!({ "email": user.email, "password": user.password });
        let answer = clinic.stranger().post("/auth/login").json(&body);
        let answer = answer.answers(200).await;
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        let welcome = answer.json();
        assert_eq!(welcome["tokenType"], "Bearer");
        assert_eq!(welcome["expiresIn"], 900);
        assert_eq!(welcome["role"], role.name());
        assert!(welcome["refreshToken"].is_string());

        let visitor = clinic.bearer(welcome["token"].as_str().unwrap());
        let claims = visitor.get("/auth/validate").answers(200).await.json();
        assert_eq!(claims["role"], role.name());
    }
}

#[tokio::test]
async fn login_ignores_the_case_of_the_address() {
    let clinic = Clinic::open();
    let user = clinic.stack().user(Role::Admin);
    let email = format!(" {} ", user.email.to_uppercase());
    let body = json!({ "email": email, "password": user.password });
    clinic
        .stranger()
        .post("/auth/login")
        .json(&body)
        .answers(200)
        .await;
}

#[tokio::test]
async fn login_responds_alike_to_an_unknown_address_and_a_wrong_password() {
    let clinic = Clinic::open();
    let known = &clinic.stack().user(Role::Admin).email;
    let mut answers = Vec::new();
    for email in [known.as_str(), "nobody@clinic.example"] {
        let body = json!({ "email": email, "password": "not the password" });
        let answer = clinic.stranger().post("/auth/login").json(&body);
        let answer = answer.answers(401).await;
        let mut names: Vec<_> = answer.headers.keys().map(ToString::to_string).collect();
        names.sort_unstable();
        let anonymous = Problem {
            request_id: String::new(),
            ..answer.problem()
        };
        assert_eq!(anonymous.name(), "unauthorized");
        answers.push((names, anonymous));
    }
    assert_eq!(answers[0], answers[1]);
}

#[tokio::test]
async fn login_names_every_invalid_field() {
    let clinic = Clinic::open();
    let cases: [(Value, &[(&str, &str)]); 6] = [
        (
            json!({}),
            &[
                ("email", "Email is required"),
                ("password", "Password is required"),
            ],
        ),
        (
            json!({ "email": "zoe@clinic.example" }),
            &[("password", "Password is required")],
        ),
        (
            json!({ "email": "zoe", "password": "x" }),
            &[("email", "Email should be valid")],
        ),
        (
            json!({ "email": "zoe@clinic.example", "password": "x".repeat(129) }),
            &[("password", "Password cannot exceed 128 characters")],
        ),
        (
            json!({ "email": 42, "password": "x" }),
            &[("email", "Must be a string")],
        ),
        (
            json!({ "email": "zoe@clinic.example", "password": ["x"] }),
            &[("password", "Must be a string")],
        ),
    ];
    for (body, reasons) in cases {
        let answer = clinic.stranger().post("/auth/login").json(&body);
        let problem = answer.answers(400).await.problem();
        assert_eq!(problem.name(), "invalid-input", "{body}");
        for (field, reason) in reasons {
            assert_eq!(problem.error(field), Some(*reason), "{body}");
        }
        assert_eq!(problem.errors.len(), reasons.len(), "{body}: {problem:?}");
    }
}

#[tokio::test]
async fn login_rejects_a_body_that_is_not_a_json_object() {
    let clinic = Clinic::open();
    let log_in = |content_type: &str, body: &[u8]| {
        clinic
            .stranger()
            .post("/auth/login")
            .body(content_type, body.to_vec())
    };
    for body in ["", "null", "[]", "\"x\"", "{", "{} {}", "{\"email\":}"] {
        let answer = log_in("application/json", body.as_bytes())
            .answers(400)
            .await;
        assert_eq!(answer.problem().name(), "invalid-input", "{body}");
    }
    let form = log_in("application/x-www-form-urlencoded", b"email=a&password=b");
    let problem = form.answers(415).await.problem();
    assert_eq!(problem.name(), "unsupported-media-type");
    let huge = json!({ "email": "a@clinic.example", "password": "x".repeat(70_000) });
    let huge = log_in("application/json", huge.to_string().as_bytes());
    assert_eq!(huge.answers(413).await.problem().name(), "body-too-large");
}

#[tokio::test]
async fn anybody_can_verify_a_token_with_the_published_keys() {
    let clinic = Clinic::open();
    let answer = clinic.stranger().get("/auth/.well-known/jwks.json");
    let answer = answer.answers(200).await;
    let cached = answer.header("cache-control").unwrap();
    assert!(cached.contains("max-age="), "{cached}");
    let keys = PublicKeys::from_json(answer.text()).unwrap();
    let visitor = clinic.log_in(Role::Auditor).await;
    let claims = verify(visitor.token(), &keys).unwrap();
    assert_eq!(claims.role, Role::Auditor);
    assert!(
        !answer.text().contains("\"d\""),
        "a private key is published"
    );
}

#[tokio::test]
async fn validate_token_rejects_missing_and_invalid_tokens() {
    let clinic = Clinic::open();
    let tampered = {
        let token = clinic.log_in(Role::Auditor).await.token().to_owned();
        let mut parts = token.split('.').map(ToOwned::to_owned).collect::<Vec<_>>();
        parts[2] = parts[2].chars().rev().collect();
        parts.join(".")
    };
    for visitor in [
        clinic.stranger(),
        clinic.bearer("garbage"),
        clinic.bearer(&tampered),
    ] {
        let answer = visitor.get("/auth/validate").answers(401).await;
        assert_eq!(answer.problem().name(), "unauthorized");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
    }
}
