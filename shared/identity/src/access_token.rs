//! Access tokens: JWTs according to RFC 9068 and RFC 8725, signed with ES256.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, Header, Validation};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{KeyError, PublicKeys, Role, SigningKey, signature::has_lower_s};

/// How long an access token is valid, in seconds.
pub const LIFETIME_SECONDS: i64 = 15 * 60;

/// How far the clocks of two machines may differ, in seconds.
const CLOCK_SKEW_SECONDS: u64 = 30;

/// The issuer and the audience.
pub const ISSUER: &str = "patient-management";
const AUDIENCE: &str = "patient-management-api";

/// The explicit type of RFC 9068, which keeps our other tokens from being accepted as access
/// tokens.
const TOKEN_TYPE: &str = "at+jwt";

/// The only algorithm (RFC 8725, section 3.1).
const ALGORITHM: &str = "ES256";

/// The longest token that is read, in bytes; ours have about 500.
const MAX_TOKEN_BYTES: usize = 4096;

/// The claims of an access token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Issuer.
    pub iss: String,
    /// Audience.
    pub aud: String,
    /// Subject: the id of the user.
    pub sub: Uuid,
    /// The user's role.
    pub role: Role,
    /// The session that the token belongs to. When it ends, the token is worthless.
    pub sid: Uuid,
    /// Identifies this token.
    pub jti: Uuid,
    /// Issued at, in seconds since 1970.
    pub iat: i64,
    /// Expires at, in seconds since 1970.
    pub exp: i64,
}

/// The token is not one of ours, or no longer valid. The reason is for the log: the client gets the
/// same response in every case.
#[derive(Debug, thiserror::Error)]
#[error("the access token is invalid: {0}")]
pub struct InvalidToken(&'static str);

/// Issues access tokens.
#[derive(Debug)]
pub struct AccessTokens {
    key: SigningKey,
}

impl AccessTokens {
    /// Signs with this key.
    #[must_use]
    pub const fn new(key: SigningKey) -> Self {
        Self { key }
    }

    /// A token for this user in this session, valid for [`LIFETIME_SECONDS`] from now.
    ///
    /// # Errors
    /// If the key cannot sign.
    pub fn issue(&self, user: Uuid, role: Role, session: Uuid) -> Result<String, KeyError> {
        let now = chrono::Utc::now().timestamp();
        self.sign(&Claims {
            iss: ISSUER.to_owned(),
            aud: AUDIENCE.to_owned(),
            sub: user,
            role,
            sid: session,
            jti: Uuid::new_v4(),
            iat: now,
            exp: now + LIFETIME_SECONDS,
        })
    }

    fn sign(&self, claims: &Claims) -> Result<String, KeyError> {
        let header = Header {
            typ: Some(TOKEN_TYPE.to_owned()),
            kid: Some(self.key.id.clone()),
            ..Header::new(Algorithm::ES256)
        };
        jsonwebtoken::encode(&header, claims, &self.key.encoding).map_err(|_| KeyError::SigningKey)
    }
}

/// Verifies a token: algorithm, type, key, signature, issuer, audience and times.
///
/// # Errors
/// If anything about it differs from what [`AccessTokens::issue`] produces.
pub fn verify(token: &str, keys: &PublicKeys) -> Result<Claims, InvalidToken> {
    if token.len() > MAX_TOKEN_BYTES {
        return Err(InvalidToken("too long"));
    }
    let header = read_header(token).ok_or(InvalidToken("not a JWT header of ours"))?;
    if header.alg != ALGORITHM {
        return Err(InvalidToken("the wrong algorithm"));
    }
    if header.typ != TOKEN_TYPE {
        return Err(InvalidToken("the wrong type"));
    }
    if !has_lower_s(token) {
        return Err(InvalidToken("not a normalized ES256 signature"));
    }
    let key = keys
        .find(&header.kid)
        .ok_or(InvalidToken("an unknown key"))?;

    let mut rules = Validation::new(Algorithm::ES256);
    rules.leeway = CLOCK_SKEW_SECONDS;
    rules.validate_nbf = true;
    rules.set_issuer(&[ISSUER]);
    rules.set_audience(&[AUDIENCE]);
    rules.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    let token = jsonwebtoken::decode::<Claims>(token, &key, &rules)
        .map_err(|_| InvalidToken("an invalid signature or claim"))?;

    let claims = token.claims;
    let now = chrono::Utc::now().timestamp();
    if claims.iat > now.saturating_add_unsigned(CLOCK_SKEW_SECONDS) {
        return Err(InvalidToken("issued in the future"));
    }
    if claims.exp.saturating_sub(claims.iat) > LIFETIME_SECONDS {
        return Err(InvalidToken("the lifetime is too long"));
    }
    Ok(claims)
}

/// The complete header of our tokens. A header with more members is not ours: an unknown member may
/// change what the others mean, and `crit` (RFC 7515, section 4.1.11) forbids ignoring it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenHeader {
    alg: String,
    typ: String,
    kid: String,
}

fn read_header(token: &str) -> Option<TokenHeader> {
    let header = token.split('.').next()?;
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).ok()?).ok()
}

/// The key that a token claims to be signed with, before anything is verified: only good for
/// deciding whether to fetch newer public keys.
pub(crate) fn claimed_key(token: &str) -> Option<String> {
    if token.len() > MAX_TOKEN_BYTES {
        return None;
    }
    Some(read_header(token)?.kid)
}

impl PublicKeys {
    /// Whether the token names a key that is not in this set, because the keys may have been
    /// rotated.
    #[must_use]
    pub fn lack_the_key_of(&self, token: &str) -> bool {
        claimed_key(token).is_some_and(|id| !self.contains(&id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::with_hmac;

    fn tokens() -> (AccessTokens, PublicKeys) {
        let (key, _) = SigningKey::generate().unwrap();
        let keys = key.public_keys();
        (AccessTokens::new(key), keys)
    }

    fn claims() -> Claims {
        let now = chrono::Utc::now().timestamp();
        Claims {
            iss: ISSUER.to_owned(),
            aud: AUDIENCE.to_owned(),
            sub: Uuid::now_v7(),
            role: Role::Clinician,
            sid: Uuid::new_v4(),
            jti: Uuid::new_v4(),
            iat: now,
            exp: now + LIFETIME_SECONDS,
        }
    }

    #[test]
    fn an_issued_token_is_valid() {
        let (tokens, keys) = tokens();
        let user = Uuid::now_v7();
        let claims = verify(
            &tokens.issue(user, Role::Auditor, Uuid::new_v4()).unwrap(),
            &keys,
        )
        .unwrap();
        assert_eq!((claims.sub, claims.role), (user, Role::Auditor));
    }

    #[test]
    fn a_token_with_an_invalid_claim_is_rejected() {
        let (tokens, keys) = tokens();
        let valid = claims();
        let twisted = [
            Claims {
                iss: "somebody-else".to_owned(),
                ..valid.clone()
            },
            Claims {
                aud: "another-api".to_owned(),
                ..valid.clone()
            },
            Claims {
                iat: valid.iat - 3600,
                exp: valid.iat - 3000,
                ..valid.clone()
            },
            Claims {
                iat: valid.iat + 3600,
                exp: valid.iat + 3660,
                ..valid.clone()
            },
            Claims {
                exp: valid.iat + 10 * 3600,
                ..valid.clone()
            },
        ];
        assert!(verify(&tokens.sign(&valid).unwrap(), &keys).is_ok());
        for claims in twisted {
            let token = tokens.sign(&claims).unwrap();
            assert!(verify(&token, &keys).is_err(), "{claims:?}");
        }
    }

    #[test]
    fn a_token_signed_with_another_key_is_rejected() {
        let (_, keys) = tokens();
        let (others, _) = tokens();
        let mut token = others
            .issue(Uuid::now_v7(), Role::Admin, Uuid::new_v4())
            .unwrap();
        assert!(verify(&token, &keys).is_err());
        assert!(keys.lack_the_key_of(&token));
        token.push('ü');
        assert!(verify(&token, &keys).is_err());
    }

    #[test]
    fn a_token_of_another_algorithm_or_type_is_rejected() {
        let (tokens, keys) = tokens();
        let kid = Some(tokens.key.id.clone());

        let hs256 = Header {
            typ: Some(TOKEN_TYPE.to_owned()),
            kid: kid.clone(),
            ..Header::new(Algorithm::HS256)
        };
        let hs256 = with_hmac(&hs256, &claims(), keys.to_json().as_bytes());
        assert!(verify(&hs256, &keys).is_err());

        let plain_jwt = Header {
            kid,
            ..Header::new(Algorithm::ES256)
        };
        let plain_jwt = jsonwebtoken::encode(&plain_jwt, &claims(), &tokens.key.encoding);
        assert!(verify(&plain_jwt.unwrap(), &keys).is_err());
    }

    #[test]
    fn an_unsigned_token_is_rejected() {
        let (tokens, keys) = tokens();
        let token = tokens
            .issue(Uuid::now_v7(), Role::Admin, Uuid::new_v4())
            .unwrap();
        let payload = token.split('.').nth(1).unwrap();
        // {"alg":"none","typ":"at+jwt"}
        let none = format!("eyJhbGciOiJub25lIiwidHlwIjoiYXQrand0In0.{payload}.");
        assert!(verify(&none, &keys).is_err());
        for garbage in ["", ".", "..", "a.b.c", &"x".repeat(1 << 20)] {
            assert!(verify(garbage, &keys).is_err());
        }
    }
}
