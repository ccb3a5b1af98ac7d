//! Who may call what.

use std::time::{Duration, Instant};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use identity::{
    AccessTokens, Claims, Permission, Role, SigningKey,
    testing::{self, Key},
};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use p256::{
    SecretKey,
    pkcs8::{DecodePrivateKey as _, EncodePublicKey as _, LineEnding},
};
use reqwest::header::HeaderValue;
use route::Row;
use serde_json::json;
use system_tests::{Answer, Clinic, Visitor, eventually};
use uuid::Uuid;

/// An attacker who knows everything about our tokens, and where stated, has our key.
struct Forger {
    pem: String,
    kid: String,
    claims: Claims,
}

impl Forger {
    async fn at(clinic: &Clinic) -> Self {
        let secret = format!("{}/signing-key", clinic.stack().stack_name);
        let pem = clinic.aws().secret(&secret).await;
        let key = SigningKey::from_pem(&pem).unwrap();
        let token = clinic.administrator().await.token().to_owned();
        // Whichever key it was signed with: it may have been rotated a moment ago.
        let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap());
        let claims = serde_json::from_slice(&claims.unwrap()).unwrap();
        Self {
            kid: key.id().to_owned(),
            pem,
            claims,
        }
    }

    fn header(&self, algorithm: Algorithm) -> Header {
        Header {
            typ: Some("at+jwt".to_owned()),
            kid: Some(self.kid.clone()),
            ..Header::new(algorithm)
        }
    }

    fn our_key(&self) -> EncodingKey {
        testing::encoding_key(&self.pem)
    }

    /// A token signed with our key.
    fn token(&self, header: &Header, claims: &Claims) -> String {
        jsonwebtoken::encode(header, claims, &self.our_key()).unwrap()
    }

    fn payload(&self) -> String {
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(&self.claims).unwrap())
    }
}

async fn assert_rejected(name: &str, visitor: &Visitor) {
    for path in ["/api/patients", "/auth/validate"] {
        let answer = visitor.get(path).answer().await;
        assert_eq!(answer.status, 401, "{name}: {answer:?}");
        assert_unauthorized(&answer);
    }
}

fn assert_unauthorized(answer: &Answer) {
    assert_eq!(
        answer.header("www-authenticate"),
        Some("Bearer"),
        "{answer:?}"
    );
    let problem = answer.problem();
    assert_eq!(problem.name(), "unauthorized");
    assert_eq!(problem.detail, "A valid access token is required");
}

#[tokio::test]
async fn a_valid_token_assembled_by_the_test_is_accepted() {
    // Otherwise the rejections below would prove nothing.
    let clinic = Clinic::open();
    let forger = Forger::at(&clinic).await;
    let token = forger.token(&forger.header(Algorithm::ES256), &forger.claims);
    clinic
        .bearer(&token)
        .get("/api/patients")
        .answers(200)
        .await;
}

#[tokio::test]
async fn an_expired_token_is_rejected() {
    let clinic = Clinic::open();
    let forger = Forger::at(&clinic).await;
    let claims = Claims {
        iat: forger.claims.iat - 1800,
        exp: forger.claims.iat - 900,
        ..forger.claims.clone()
    };
    let token = forger.token(&forger.header(Algorithm::ES256), &claims);
    assert_rejected("expired", &clinic.bearer(&token)).await;
}

#[tokio::test]
async fn an_unsigned_token_is_rejected() {
    let clinic = Clinic::open();
    let forger = Forger::at(&clinic).await;
    let payload = forger.payload();
    for algorithm in ["none", "None", "NONE", "nOnE"] {
        let header = json!({ "alg": algorithm, "typ": "at+jwt", "kid": forger.kid });
        let header = URL_SAFE_NO_PAD.encode(header.to_string());
        // The gateway's own pattern requires three non-empty parts.
        for signature in ["", "AA"] {
            let token = format!("{header}.{payload}.{signature}");
            assert_rejected(algorithm, &clinic.bearer(&token)).await;
        }
    }
}

#[tokio::test]
async fn a_token_signed_with_the_public_key_as_an_hmac_secret_is_rejected() {
    let clinic = Clinic::open();
    let forger = Forger::at(&clinic).await;
    let header = forger.header(Algorithm::HS256);
    let public = SecretKey::from_pkcs8_pem(&forger.pem).unwrap().public_key();
    let jwks = clinic
        .stranger()
        .get("/auth/.well-known/jwks.json")
        .answers(200)
        .await;
    let secrets = [
        public
            .to_public_key_pem(LineEnding::LF)
            .unwrap()
            .into_bytes(),
        public.to_public_key_der().unwrap().into_vec(),
        public.to_sec1_bytes().to_vec(),
        jwks.body,
    ];
    for secret in secrets {
        let token = testing::with_hmac(&header, &forger.claims, &secret);
        assert_rejected("HS256", &clinic.bearer(&token)).await;
    }
}

#[tokio::test]
async fn a_token_signed_with_another_key_is_rejected() {
    let clinic = Clinic::open();
    let forger = Forger::at(&clinic).await;
    let (other, other_pem) = SigningKey::generate().unwrap();
    let honest = AccessTokens::new(other)
        .issue(forger.claims.sub, Role::Admin, forger.claims.sid)
        .unwrap();
    assert_rejected("with its own key id", &clinic.bearer(&honest)).await;

    let other_key = testing::encoding_key(&other_pem);
    let header = forger.header(Algorithm::ES256);
    let disguised = jsonwebtoken::encode(&header, &forger.claims, &other_key).unwrap();
    assert_rejected("with our key id", &clinic.bearer(&disguised)).await;

    let smuggled = Header {
        jku: Some("http://localhost:1/keys".to_owned()),
        ..header
    };
    let smuggled = jsonwebtoken::encode(&smuggled, &forger.claims, &other_key).unwrap();
    assert_rejected("with a URL to find its key", &clinic.bearer(&smuggled)).await;
}

#[tokio::test]
async fn a_token_for_another_purpose_is_rejected() {
    let clinic = Clinic::open();
    let forger = Forger::at(&clinic).await;
    let header = forger.header(Algorithm::ES256);
    let ours = &forger.claims;
    let foreign = |iss: &str, aud: &str| Claims {
        iss: iss.to_owned(),
        aud: aud.to_owned(),
        ..ours.clone()
    };
    for claims in [
        foreign(&ours.iss, "another-api"),
        foreign("somebody", &ours.aud),
    ] {
        let token = forger.token(&header, &claims);
        assert_rejected("for another purpose", &clinic.bearer(&token)).await;
    }
    let plain = Header {
        typ: Some("JWT".to_owned()),
        ..header.clone()
    };
    assert_rejected(
        "of another type",
        &clinic.bearer(&forger.token(&plain, ours)),
    )
    .await;
    let nameless = Header {
        kid: None,
        ..header
    };
    assert_rejected(
        "without a key id",
        &clinic.bearer(&forger.token(&nameless, ours)),
    )
    .await;
}

#[tokio::test]
async fn a_tampered_token_is_rejected() {
    let clinic = Clinic::open();
    let auditor = clinic.log_in(Role::Auditor).await;
    let parts: Vec<_> = auditor.token().split('.').collect();
    let claims = URL_SAFE_NO_PAD.decode(parts[1]).unwrap();
    let promoted = String::from_utf8(claims)
        .unwrap()
        .replace("AUDITOR", "ADMIN");
    let token = format!(
        "{}.{}.{}",
        parts[0],
        URL_SAFE_NO_PAD.encode(promoted),
        parts[2]
    );
    assert_rejected("promoted", &clinic.bearer(&token)).await;
}

/// From a signature, anybody can compute another one that verifies, and would have a second token
/// of the same session.
#[tokio::test]
async fn a_token_with_the_alternative_signature_is_rejected() {
    let clinic = Clinic::open();
    let auditor = clinic.log_in(Role::Auditor).await;
    let other = testing::with_other_s(auditor.token()).unwrap();
    assert_rejected("n - s for s", &clinic.bearer(&other)).await;
}

#[tokio::test]
async fn the_gateway_and_validate_token_parse_the_authorization_header_alike() {
    let clinic = Clinic::open();
    let auditor = clinic.log_in(Role::Auditor).await;
    let token = auditor.token();
    for (authorization, status) in [
        (format!("Bearer {token}"), 200),
        (format!("bearer {token}"), 200),
        (format!("BEARER {token}"), 200),
        (format!("bEaReR {token}"), 200),
        (format!("Bearer  {token}"), 200),
        (format!("BEARER     {token}"), 200),
        (format!("Bearer\t{token}"), 401),
        (format!("Bearer \t{token}"), 401),
        (format!("Bearer\t {token}"), 401),
        (format!("Bearer{token}"), 401),
        (format!("Bearer:{token}"), 401),
        (format!("Bearer \"{token}\""), 401),
        (format!("Bearer token={token}"), 401),
        (format!("Bearer {token}="), 401),
        (format!("Bearer {token} {token}"), 401),
        (format!("Token {token}"), 401),
    ] {
        for path in ["/api/patients?limit=1", "/auth/validate"] {
            let call = clinic.stranger().get(path);
            let call = call.header("Authorization", &authorization);
            let shown = authorization.replace(token, "…");
            let answer = call.answer().await;
            assert_eq!(answer.status, status, "{shown:?}: {answer:?}");
        }
    }
}

/// A request without a valid token is not our fault and must not raise an alarm.
#[tokio::test]
async fn a_rejected_token_is_not_logged_as_an_error() {
    let clinic = Clinic::open();
    let stack = clinic.stack();
    let file = format!("functions/{}.log", stack.function_name("authorizer"));
    let file = stack.logs().join(file);
    let before = std::fs::read_to_string(&file).unwrap_or_default().len();
    let refused = || std::fs::read_to_string(&file).unwrap_or_default()[before..].to_owned();
    for token in ["a.b.c", "e30.e30.e30"] {
        assert_rejected(token, &clinic.bearer(token)).await;
    }
    let log = eventually("the rejections in the authorizer's log", async || {
        let log = refused();
        (log.matches("rejected a token").count() >= 2).then_some(log)
    })
    .await;
    // What the process logs after its response may appear a moment later.
    clinic
        .administrator()
        .await
        .get("/api/patients?limit=1")
        .answers(200)
        .await;
    let log = log + &refused();
    for line in log.lines().filter(|line| line.contains("Unauthorized")) {
        assert!(!line.contains("ERROR"), "{line}");
    }
}

#[tokio::test]
async fn anything_that_is_not_a_token_is_rejected() {
    let clinic = Clinic::open();
    let long = "x".repeat(2_000);
    for garbage in [
        "garbage",
        "a.b.c",
        "..",
        "e30.e30.e30",
        &format!("{long}.{long}.{long}"),
    ] {
        assert_rejected("garbage", &clinic.bearer(garbage)).await;
    }
    let token = clinic.administrator().await.token().to_owned();
    for authorization in [
        "Bearer".to_owned(),
        token.clone(),
        format!("Basic {token}"),
        format!("Bearer {token} {token}"),
        format!("Bearer, {token}"),
        "Basic dGVzdDp0ZXN0".to_owned(),
    ] {
        let stranger = clinic.stranger();
        let call = stranger
            .get("/api/patients")
            .header("Authorization", &authorization);
        assert_unauthorized(&call.answers(401).await);
    }
}

/// The routes behind the authorizer, with the permission that each requires.
fn routes() -> impl Iterator<Item = (&'static Row, Permission)> {
    route::table()
        .iter()
        .filter_map(|row| Some((row, row.permission?)))
}

fn path_of(route: &Row) -> String {
    route.path.replace("{id}", &Uuid::now_v7().to_string())
}

#[tokio::test]
async fn every_route_behind_the_authorizer_requires_a_token() {
    let clinic = Clinic::open();
    for (route, _) in routes() {
        let answer = clinic.stranger().call(route.method.name(), &path_of(route));
        assert_unauthorized(&answer.answers(401).await);
    }
}

#[tokio::test]
async fn every_role_may_call_exactly_what_the_permission_table_allows() {
    let clinic = Clinic::open();
    for &role in Role::ALL {
        // Not a demo user, and a session per call: the routes for logging out would end other
        // tests' sessions.
        let user = clinic.hire(role).await;
        for (route, permission) in routes() {
            let visitor = clinic.log_in_as(&user).await;
            let call = visitor.call(route.method.name(), &path_of(route));
            // Neither the id nor the data belongs to anybody, so a request that is allowed changes
            // nothing.
            let answer = call.json(&json!({})).answer().await;
            if role.may(permission) {
                assert!(
                    matches!(answer.status, 200 | 204 | 400 | 404),
                    "{role} should be allowed: {answer:?}"
                );
            } else {
                assert_eq!(answer.status, 403, "{role}: {answer:?}");
                let problem = answer.problem();
                assert_eq!(problem.name(), "forbidden");
                assert_eq!(problem.detail, "Your role does not allow this operation");
            }
        }
    }
}

#[tokio::test]
async fn a_function_checks_the_caller_again_behind_the_gateway() {
    let clinic = Clinic::open();
    let patient = clinic.administrator().await.register_somebody().await;
    let request = |authorizer: serde_json::Value| {
        json!({
            "resource": "/api/patients/{id}",
            "path": patient.path(),
            "httpMethod": "GET",
            "headers": { "Accept": "application/json" },
            "multiValueHeaders": { "Accept": ["application/json"] },
            "requestContext": {
                "resourcePath": "/api/patients/{id}",
                "path": patient.path(),
                "httpMethod": "GET",
                "stage": "v1",
                "requestId": Uuid::now_v7().to_string(),
                "requestTimeEpoch": 0,
                "identity": {},
                "authorizer": authorizer,
            },
            "isBase64Encoded": false,
        })
    };
    for authorizer in [
        json!(null),
        json!({}),
        json!({ "role": "ADMIN" }),
        json!({ "sub": Uuid::now_v7(), "role": "ROOT" }),
        json!({ "sub": "somebody", "role": "ADMIN" }),
    ] {
        let invoked = clinic
            .aws()
            .invoke("get-patient", &request(authorizer.clone()))
            .await;
        assert_eq!(
            invoked.payload["statusCode"], 401,
            "{authorizer}: {invoked:?}"
        );
    }
    let somebody = json!({ "sub": Uuid::now_v7(), "role": "AUDITOR" });
    let invoked = clinic.aws().invoke("get-patient", &request(somebody)).await;
    assert_eq!(invoked.payload["statusCode"], 200, "{invoked:?}");
}

#[tokio::test]
async fn an_unknown_path_gets_a_404_problem_document() {
    let clinic = Clinic::open();
    let administrator = clinic.administrator().await;
    for visitor in [&clinic.stranger(), &administrator] {
        for path in ["/nothing", "/api/nothing"] {
            let problem = visitor.get(path).answers(404).await.problem();
            assert_eq!(problem.name(), "not-found", "{path}");
        }
    }
}

#[tokio::test]
async fn more_than_a_hundred_other_forged_tokens_are_rejected_quickly() {
    let clinic = Clinic::open();
    let claims = Forger::at(&clinic).await.claims;
    let secret = format!("{}/signing-key", clinic.stack().stack_name);
    let key = Key::from_pem(clinic.aws().secret(&secret).await).unwrap();
    let forger = testing::Forger {
        key: &key,
        user: claims.sub,
        session: claims.sid,
    };
    let untwisted = clinic.bearer(&forger.untwisted());
    untwisted.get("/api/patients").answers(200).await;

    let mut tried = 0;
    for (attack, token) in forger.tokens() {
        let authorization = format!("Bearer {token}");
        // No HTTP client would send these, so they never reach the gateway.
        if HeaderValue::from_str(&authorization).is_err() || authorization.len() > 60_000 {
            continue;
        }
        let call = clinic.stranger().get("/api/patients");
        let started = Instant::now();
        let answer = call.header("Authorization", &authorization).answer().await;
        assert_eq!(answer.status, 401, "{attack}: {answer:?}");
        assert_unauthorized(&answer);
        assert!(started.elapsed() < Duration::from_secs(20), "{attack}");
        tried += 1;
    }
    assert!(tried >= 100, "only {tried} were tried");
}
