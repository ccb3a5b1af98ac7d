//! Tokens that look like ours but are not.
#![allow(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "for tests, which fail by panicking"
)]

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, Mac, digest::KeyInit};
use jsonwebtoken::{Algorithm, EncodingKey, crypto};
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Sha256, Sha384, Sha512};
use uuid::Uuid;

use super::key::{Key, encoding_key};
use crate::{Role, signature::with_other_s};

/// What is wrong with a token, and the token.
pub type Forged = (String, String);

/// What a forger starts from: a token that is valid for this user in this session.
#[derive(Debug)]
pub struct Forger<'a> {
    /// The signing key, which the forger has got hold of.
    pub key: &'a Key,
    /// The user whom they pretend to be.
    pub user: Uuid,
    /// A valid session of that user.
    pub session: Uuid,
}

impl Forger<'_> {
    /// The valid token.
    #[must_use]
    pub fn untwisted(&self) -> String {
        let ours = encoding_key(&self.key.pem);
        sign(&header(self.key, |_| ()), &self.claims(), &ours)
    }

    /// Forged tokens. Anybody who verifies them with this key's public half has to reject every
    /// one.
    #[must_use]
    pub fn tokens(&self) -> Vec<Forged> {
        let mut tokens = Vec::new();
        add_headers(self, &mut tokens);
        add_public_key_as_secret(self, &mut tokens);
        add_keys_of_a_stranger(self, &mut tokens);
        add_claims(self, &mut tokens);
        add_raw(self, &mut tokens);
        add_twisted(self, &mut tokens);
        tokens
    }

    fn claims(&self) -> Value {
        let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
        json!({
            "iss": "patient-management",
            "aud": "patient-management-api",
            "sub": self.user,
            "role": "ADMIN",
            "sid": self.session,
            "jti": Uuid::new_v4(),
            "iat": now,
            "exp": now + 900,
        })
    }
}

/// Manipulated headers, signed as we sign, or not at all.
fn add_headers(forger: &Forger<'_>, tokens: &mut Vec<Forged>) {
    let key = forger.key;
    let mut add = |attack: &str, token| tokens.push((attack.to_owned(), token));
    let ours = encoding_key(&key.pem);
    let stranger = Key::generate();
    for (name, value) in [
        ("alg", json!("none")),
        ("alg", json!("None")),
        ("alg", json!("nOnE")),
        ("alg", json!("ES384")),
        ("alg", json!("RS256")),
        ("alg", json!("")),
        ("alg", json!(null)),
        ("alg", json!(["ES256"])),
        ("typ", json!("JWT")),
        ("typ", json!("rt+jwt")),
        ("typ", json!("application/at+jwt; x")),
        ("typ", json!(null)),
        ("kid", json!(null)),
        ("kid", json!("")),
        ("kid", json!(stranger.id)),
        ("kid", json!(format!("{}\0", key.id))),
        ("kid", json!(key.id.to_lowercase() + "x")),
        ("kid", json!("../../../../dev/null")),
        ("kid", json!("' OR '1'='1")),
        ("kid", json!("file:///etc/passwd")),
        ("kid", json!({ "$ne": null })),
        ("kid", json!("k".repeat(3000))),
        ("kid", json!("/dev/null")),
        ("kid", json!("x' UNION SELECT 'secret")),
        ("kid", json!(["a", "b"])),
        ("kid", json!(0)),
        ("enc", json!("A256GCM")),
        ("zip", json!("DEF")),
        ("crit", json!(["exp"])),
        ("crit", json!(["b64"])),
        ("crit", json!([])),
        ("crit", json!("exp")),
        ("b64", json!(false)),
    ] {
        let header = header(key, |header| header[name] = value.clone());
        add(
            &format!("{name}: {value}"),
            sign(&header, &forger.claims(), &ours),
        );
        add(
            &format!("{name}: {value}, unsigned"),
            unsigned(&header, &forger.claims()),
        );
    }
}

/// Public information used as an HMAC secret.
fn add_public_key_as_secret(forger: &Forger<'_>, tokens: &mut Vec<Forged>) {
    let key = forger.key;
    let public = key.public.to_json();
    let point: Value = serde_json::from_str(&public).unwrap();
    let x = point["keys"][0]["x"].as_str().unwrap().to_owned();
    for name in ["HS256", "HS384", "HS512"] {
        let header = header(key, |header| header["alg"] = json!(name));
        for secret in ["", "secret", &public, &x, &key.id] {
            let token = with_hmac(&header, &forger.claims(), secret.as_bytes());
            tokens.push((name.to_owned(), token));
        }
    }
}

/// A stranger's signature, with and without bringing their own key along.
fn add_keys_of_a_stranger(forger: &Forger<'_>, tokens: &mut Vec<Forged>) {
    let key = forger.key;
    let mut add = |attack: &str, token| tokens.push((attack.to_owned(), token));
    let stranger = Key::generate();
    let theirs = encoding_key(&stranger.pem);
    let their_key: Value = serde_json::from_str(&stranger.public.to_json()).unwrap();
    for (name, value) in [
        ("jwk", their_key["keys"][0].clone()),
        ("jku", json!("https://attacker.example/jwks.json")),
        ("x5u", json!("https://attacker.example/key.pem")),
        ("x5c", json!(["MIIB"])),
    ] {
        let header = header(key, |header| header[name] = value.clone());
        add(name, sign(&header, &forger.claims(), &theirs));
    }
    let issued = stranger
        .tokens
        .issue(forger.user, Role::Admin, forger.session);
    add("a stranger's key", issued.unwrap());
    add(
        "a stranger's signature",
        sign(&header(key, |_| ()), &forger.claims(), &theirs),
    );
}

/// Claims that we would not have signed.
fn add_claims(forger: &Forger<'_>, tokens: &mut Vec<Forged>) {
    let key = forger.key;
    let ours = encoding_key(&key.pem);
    let now = forger.claims()["iat"].as_i64().unwrap();
    for (name, value) in [
        ("iss", json!("another")),
        ("iss", json!(null)),
        ("iss", json!(["patient-management", "another"])),
        ("aud", json!("another-api")),
        ("aud", json!(null)),
        ("sub", json!("testuser@test.com")),
        ("sub", json!("' OR '1'='1")),
        ("sub", json!(null)),
        ("role", json!("ROOT")),
        ("role", json!("admin")),
        ("role", json!(["ADMIN"])),
        ("role", json!(null)),
        ("jti", json!(null)),
        ("sid", json!(null)),
        ("sid", json!("' OR '1'='1")),
        ("aud", json!(["another-api"])),
        ("aud", json!("")),
        ("iss", json!("")),
        ("exp", json!(null)),
        ("exp", json!("never")),
        ("exp", json!(-1)),
        ("exp", json!(now - 3600)),
        ("exp", json!(now + 10 * 3600)),
        ("exp", json!(1e300)),
        ("exp", json!(u64::MAX)),
        ("iat", json!(null)),
        ("iat", json!(now + 3600)),
        ("iat", json!(i64::MIN)),
        ("nbf", json!(now + 3600)),
    ] {
        let mut claims = forger.claims();
        claims[name] = value.clone();
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(name);
        }
        let token = sign(&header(key, |_| ()), &claims, &ours);
        tokens.push((format!("{name}: {value}"), token));
    }
}

/// JSON that a map cannot represent, signed with our key: repeated names, for example.
fn add_raw(forger: &Forger<'_>, tokens: &mut Vec<Forged>) {
    let ours = encoding_key(&forger.key.pem);
    let header = header(forger.key, |_| ()).to_string();
    let claims = forger.claims().to_string();
    let doubled = |json: &str, member: &str| format!("{},{member}}}", &json[..json.len() - 1]);
    for (attack, header, claims) in [
        (
            "alg twice",
            doubled(&header, r#""alg":"none""#),
            claims.clone(),
        ),
        (
            "kid twice",
            doubled(&header, r#""kid":"x""#),
            claims.clone(),
        ),
        (
            "sub twice",
            header.clone(),
            doubled(&claims, &format!(r#""sub":"{}""#, Uuid::nil())),
        ),
        (
            "role twice",
            header.clone(),
            doubled(&claims, r#""role":"ADMIN""#),
        ),
        (
            "exp twice",
            header.clone(),
            doubled(&claims, r#""exp":99999999999"#),
        ),
        ("claims in a list", header.clone(), format!("[{claims}]")),
        (
            "claims that are not JSON",
            header.clone(),
            format!("{claims}x"),
        ),
        ("no claims at all", header.clone(), String::new()),
        ("a header in a list", format!("[{header}]"), claims.clone()),
        (
            "deep claims",
            header.clone(),
            format!("{}{}", "[".repeat(900), "]".repeat(900)),
        ),
    ] {
        let message = format!(
            "{}.{}",
            encode_bytes(header.as_bytes()),
            encode_bytes(claims.as_bytes())
        );
        tokens.push((attack.to_owned(), signed(&message, &ours)));
    }
}

/// A valid token, manipulated.
fn add_twisted(forger: &Forger<'_>, tokens: &mut Vec<Forged>) {
    let key = forger.key;
    let mut add = |attack: &str, token| tokens.push((attack.to_owned(), token));
    let valid = key
        .tokens
        .issue(forger.user, Role::Admin, forger.session)
        .unwrap();
    let [head, body, signature]: [&str; 3] =
        valid.split('.').collect::<Vec<_>>().try_into().unwrap();
    let richer = encode(&forger.claims());
    for (attack, token) in [
        ("nothing", String::new()),
        ("dots", "..".to_owned()),
        ("many dots", ".".repeat(4000)),
        ("no signature", format!("{head}.{body}")),
        ("empty signature", format!("{head}.{body}.")),
        ("no claims", format!("{head}..{signature}")),
        ("no header", format!(".{body}.{signature}")),
        ("four parts", format!("{valid}.{signature}")),
        ("doubled", format!("{valid}{valid}")),
        ("two, with a comma", format!("{valid}, {valid}")),
        ("other claims", format!("{head}.{richer}.{signature}")),
        (
            "half a signature",
            format!("{head}.{body}.{}", &signature[..43]),
        ),
        (
            "a signature of zeros",
            format!("{head}.{body}.{}", encode_bytes(&[0; 64])),
        ),
        (
            "a signature of ones",
            format!("{head}.{body}.{}", encode_bytes(&[0xff; 64])),
        ),
        (
            "a DER signature",
            format!(
                "{head}.{body}.{}",
                encode_bytes(&[0x30, 6, 2, 1, 0, 2, 1, 0])
            ),
        ),
        ("n − s for s", with_other_s(&valid).unwrap()),
        ("padding", format!("{valid}==")),
        ("a space in it", format!("{head} .{body}.{signature}")),
        ("not ASCII", format!("{head}.{body}é.{signature}")),
        ("full-width dots", valid.replace('.', "．")),
        ("a zero byte", format!("{valid}\0")),
        ("upper case", valid.to_uppercase()),
        (
            "huge",
            format!("{head}.{}.{signature}", "A".repeat(1 << 20)),
        ),
        (
            "encrypted",
            format!("{head}.{body}.{signature}.{body}.{signature}"),
        ),
        (
            "JSON",
            json!({ "payload": body, "signature": signature }).to_string(),
        ),
    ] {
        add(attack, token);
    }
    // A different character at any position.
    for position in (0..valid.len()).step_by(7) {
        let mut bytes = valid.clone().into_bytes();
        bytes[position] = if bytes[position] == b'A' { b'B' } else { b'A' };
        let token = String::from_utf8(bytes).unwrap();
        add(&format!("another character at {position}"), token);
    }
}

fn header(key: &Key, change: impl FnOnce(&mut Value)) -> Value {
    let mut header = json!({ "alg": "ES256", "typ": "at+jwt", "kid": key.id });
    change(&mut header);
    header
}

fn sign(header: &Value, claims: &Value, key: &EncodingKey) -> String {
    signed(&format!("{}.{}", encode(header), encode(claims)), key)
}

fn signed(message: &str, key: &EncodingKey) -> String {
    let signature = crypto::sign(message.as_bytes(), key, Algorithm::ES256).unwrap();
    format!("{message}.{signature}")
}

/// A token signed with an HMAC, using the algorithm that the header names.
///
/// # Panics
/// If that algorithm is not HS256, HS384 or HS512.
#[must_use]
pub fn with_hmac(header: &impl Serialize, claims: &impl Serialize, secret: &[u8]) -> String {
    fn hmac<M: KeyInit + Mac>(message: &str, secret: &[u8]) -> Vec<u8> {
        let mut hmac = <M as Mac>::new_from_slice(secret).unwrap();
        hmac.update(message.as_bytes());
        hmac.finalize().into_bytes().to_vec()
    }

    let header = serde_json::to_value(header).unwrap();
    let claims = serde_json::to_value(claims).unwrap();
    let message = format!("{}.{}", encode(&header), encode(&claims));
    let signature = match header["alg"].as_str() {
        Some("HS256") => hmac::<Hmac<Sha256>>(&message, secret),
        Some("HS384") => hmac::<Hmac<Sha384>>(&message, secret),
        Some("HS512") => hmac::<Hmac<Sha512>>(&message, secret),
        other => panic!("{other:?} has no HMAC"),
    };
    format!("{message}.{}", encode_bytes(&signature))
}

fn unsigned(header: &Value, claims: &Value) -> String {
    format!("{}.{}.", encode(header), encode(claims))
}

fn encode(value: &Value) -> String {
    encode_bytes(value.to_string().as_bytes())
}

fn encode_bytes(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The token that the forger starts from is valid; otherwise every other token would be
    /// rejected for the wrong reason.
    #[test]
    fn only_the_untwisted_token_is_valid() {
        let key = Key::generate();
        let forger = Forger {
            key: &key,
            user: Uuid::now_v7(),
            session: Uuid::new_v4(),
        };
        assert!(crate::verify(&forger.untwisted(), &key.public).is_ok());
        for (attack, token) in forger.tokens() {
            assert!(crate::verify(&token, &key.public).is_err(), "{attack}");
        }
        assert!(forger.tokens().len() >= 100);
    }
}
