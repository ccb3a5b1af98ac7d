//! Who gets through to what.

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

/// Somebody who knows everything about our tokens, and has got hold of our key where it
/// says so.
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
        // Whichever key it is signed with: it may have been succeeded a moment ago.
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
        EncodingKey::from_ec_pem(self.pem.as_bytes()).unwrap()
    }

    /// Signed with our key.
    fn token(&self, header: &Header, claims: &Claims) -> String {
        let token = jsonwebtoken::encode(header, claims, &self.our_key()).unwrap();
        testing::with_lower_s(&token).unwrap()
    }

    fn payload(&self) -> String {
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(&self.claims).unwrap())
    }
}

async fn is_refused(name: &str, visitor: &Visitor) {
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
async fn a_token_of_ours_that_is_forged_by_hand_is_accepted() {
    // Otherwise the refusals below would prove nothing.
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
async fn an_expired_token_is_refused() {
    let clinic = Clinic::open();
    let forger = Forger::at(&clinic).await;
    let claims = Claims {
        iat: forger.claims.iat - 1800,
        exp: forger.claims.iat - 900,
        ..forger.claims.clone()
    };
    let token = forger.token(&forger.header(Algorithm::ES256), &claims);
    is_refused("expired", &clinic.bearer(&token)).await;
}

#[tokio::test]
async fn a_token_that_nobody_signed_is_refused() {
    let clinic = Clinic::open();
    let forger = Forger::at(&clinic).await;
    let payload = forger.payload();
    for algorithm in ["none", "None", "NONE", "nOnE"] {
        let header = json!({ "alg": algorithm, "typ": "at+jwt", "kid": forger.kid });
        let header = URL_SAFE_NO_PAD.encode(header.to_string());
        // The gateway's own pattern wants three parts that are not empty.
        for signature in ["", "AA"] {
            let token = format!("{header}.{payload}.{signature}");
            is_refused(algorithm, &clinic.bearer(&token)).await;
        }
    }
}

#[tokio::test]
async fn a_token_that_is_signed_with_the_public_key_as_a_password_is_refused() {
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
        let key = EncodingKey::from_secret(&secret);
        let token = jsonwebtoken::encode(&header, &forger.claims, &key).unwrap();
        is_refused("HS256", &clinic.bearer(&token)).await;
    }
}

#[tokio::test]
async fn a_token_that_is_signed_with_another_key_is_refused() {
    let clinic = Clinic::open();
    let forger = Forger::at(&clinic).await;
    let (other, other_pem) = SigningKey::generate().unwrap();
    let honest = AccessTokens::new(other)
        .issue(forger.claims.sub, Role::Admin, forger.claims.sid)
        .unwrap();
    is_refused("with its own name", &clinic.bearer(&honest)).await;

    let other_key = EncodingKey::from_ec_pem(other_pem.as_bytes()).unwrap();
    let header = forger.header(Algorithm::ES256);
    let disguised = jsonwebtoken::encode(&header, &forger.claims, &other_key).unwrap();
    is_refused("with the name of ours", &clinic.bearer(&disguised)).await;

    let smuggled = Header {
        jku: Some("http://localhost:1/keys".to_owned()),
        ..header
    };
    let smuggled = jsonwebtoken::encode(&smuggled, &forger.claims, &other_key).unwrap();
    is_refused("with a place to find it", &clinic.bearer(&smuggled)).await;
}

#[tokio::test]
async fn a_token_for_something_else_is_refused() {
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
        is_refused("for something else", &clinic.bearer(&token)).await;
    }
    let plain = Header {
        typ: Some("JWT".to_owned()),
        ..header.clone()
    };
    is_refused(
        "of another type",
        &clinic.bearer(&forger.token(&plain, ours)),
    )
    .await;
    let nameless = Header {
        kid: None,
        ..header
    };
    is_refused("of no key", &clinic.bearer(&forger.token(&nameless, ours))).await;
}

#[tokio::test]
async fn a_token_that_was_tampered_with_is_refused() {
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
    is_refused("promoted", &clinic.bearer(&token)).await;
}

/// Whoever sees a signature can make another one that verifies, and would have a second token
/// of the same session.
#[tokio::test]
async fn a_token_with_the_other_signature_of_the_same_is_refused() {
    let clinic = Clinic::open();
    let auditor = clinic.log_in(Role::Auditor).await;
    let other = testing::with_other_s(auditor.token()).unwrap();
    is_refused("n - s for s", &clinic.bearer(&other)).await;
}

#[tokio::test]
async fn a_header_is_read_alike_by_the_gateway_and_the_route_for_asking() {
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

/// Somebody who comes without a valid token is no fault of ours, and nobody is to be woken.
#[tokio::test]
async fn a_refused_token_is_no_error_in_the_log() {
    let clinic = Clinic::open();
    let stack = clinic.stack();
    let file = format!("functions/{}.log", stack.function_name("authorizer"));
    let file = stack.logs().join(file);
    let before = std::fs::read_to_string(&file).unwrap_or_default().len();
    let refused = || std::fs::read_to_string(&file).unwrap_or_default()[before..].to_owned();
    for token in ["a.b.c", "e30.e30.e30"] {
        is_refused(token, &clinic.bearer(token)).await;
    }
    let log = eventually("the refusals in the authorizer's log", async || {
        let log = refused();
        (log.matches("rejected a token").count() >= 2).then_some(log)
    })
    .await;
    // What the process says after its answer may come a moment later.
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
async fn what_is_no_token_is_refused() {
    let clinic = Clinic::open();
    let long = "x".repeat(2_000);
    for garbage in [
        "garbage",
        "a.b.c",
        "..",
        "e30.e30.e30",
        &format!("{long}.{long}.{long}"),
    ] {
        is_refused("garbage", &clinic.bearer(garbage)).await;
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

/// The routes behind the authorizer, each with what it takes.
fn routes() -> impl Iterator<Item = (&'static Row, Permission)> {
    route::table()
        .iter()
        .filter_map(|row| Some((row, row.permission?)))
}

fn path_of(route: &Row) -> String {
    route.path.replace("{id}", &Uuid::now_v7().to_string())
}

#[tokio::test]
async fn without_a_token_every_route_is_closed() {
    let clinic = Clinic::open();
    for (route, _) in routes() {
        let answer = clinic.stranger().call(route.method.name(), &path_of(route));
        assert_unauthorized(&answer.answers(401).await);
    }
}

#[tokio::test]
async fn every_role_gets_through_to_exactly_what_the_permission_table_says() {
    let clinic = Clinic::open();
    for role in Role::ALL {
        // Nobody of the demo users, whom the routes for logging out would log out, and
        // a session for each of them, for the same reason.
        let user = clinic.hire(role).await;
        for (route, permission) in routes() {
            let visitor = clinic.log_in_as(&user).await;
            let call = visitor.call(route.method.name(), &path_of(route));
            // Nobody of this id is there, and this is nobody's data: whoever gets through
            // changes nothing.
            let answer = call.json(&json!({})).answer().await;
            if role.may(permission) {
                assert!(
                    matches!(answer.status, 200 | 204 | 400 | 404),
                    "{role} should get through: {answer:?}"
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
async fn who_gets_past_the_gateway_is_still_refused() {
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
async fn what_is_not_there_is_not_found_in_the_usual_form() {
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
async fn more_than_a_hundred_other_forged_tokens_are_refused_in_no_time() {
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
        // What no HTTP client sends, the gateway never sees.
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
