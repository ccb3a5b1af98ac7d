//! The keys behind the access tokens: one private key that signs, and the public keys
//! that verify, as a JSON Web Key Set (RFC 7517).

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{DecodingKey, EncodingKey};
use p256::{
    SecretKey,
    elliptic_curve::{rand_core::OsRng, sec1::ToEncodedPoint as _},
    pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _, LineEnding},
};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use utoipa::ToSchema;

/// A key cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The private key is no PKCS#8 PEM of a P-256 key.
    #[error("the signing key cannot be read")]
    SigningKey,
    /// The key set is no JWKS of P-256 keys.
    #[error("the public keys cannot be read")]
    PublicKeys,
}

/// The private key that access tokens are signed with (P-256, for ES256).
#[derive(Clone)]
pub struct SigningKey {
    pub(crate) id: String,
    pub(crate) encoding: EncodingKey,
    public: PublicKey,
}

impl SigningKey {
    /// Makes a new key.
    ///
    /// # Errors
    /// If it cannot be encoded.
    pub fn generate() -> Result<(Self, String), KeyError> {
        let pem = SecretKey::random(&mut OsRng)
            .to_pkcs8_pem(LineEnding::LF)
            .map_err(|_| KeyError::SigningKey)?;
        Ok((Self::from_pem(&pem)?, pem.to_string()))
    }

    /// Reads a key in PKCS#8 PEM.
    ///
    /// # Errors
    /// If it is no P-256 key in this form.
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        let secret = SecretKey::from_pkcs8_pem(pem).map_err(|_| KeyError::SigningKey)?;
        let public = PublicKey::of(&secret).ok_or(KeyError::SigningKey)?;
        Ok(Self {
            id: public.kid.clone(),
            encoding: EncodingKey::from_ec_pem(pem.as_bytes()).map_err(|_| KeyError::SigningKey)?,
            public,
        })
    }

    /// Which key it is: what tokens name it by.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The public half, alone in a set.
    #[must_use]
    pub fn public_keys(&self) -> PublicKeys {
        PublicKeys {
            keys: vec![self.public.clone()],
        }
    }
}

/// Shows which key it is, never the key.
impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigningKey")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// The public keys that access tokens are verified with: a JSON Web Key Set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PublicKeys {
    keys: Vec<PublicKey>,
}

/// A P-256 public key (RFC 7518, section 6.2.1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = JsonWebKey)]
pub(crate) struct PublicKey {
    /// Key type: always `EC`.
    kty: String,
    /// Curve: always `P-256`.
    crv: String,
    /// X coordinate, base64url.
    x: String,
    /// Y coordinate, base64url.
    y: String,
    /// Algorithm: always `ES256`.
    alg: String,
    /// Use: always `sig`.
    #[serde(rename = "use")]
    usage: String,
    /// Which key: its RFC 7638 thumbprint.
    kid: String,
    /// Until when its tokens are accepted, in seconds since 1970; missing for the key that
    /// signs.
    #[serde(default, rename = "retiresAt", skip_serializing_if = "Option::is_none")]
    retires_at: Option<i64>,
}

impl PublicKey {
    fn of(secret: &SecretKey) -> Option<Self> {
        let point = secret.public_key().to_encoded_point(false);
        let x = URL_SAFE_NO_PAD.encode(point.x()?);
        let y = URL_SAFE_NO_PAD.encode(point.y()?);
        // RFC 7638: the required members in lexical order, without white space.
        let canonical = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
        Some(Self {
            kid: URL_SAFE_NO_PAD.encode(Sha256::digest(canonical)),
            kty: "EC".to_owned(),
            crv: "P-256".to_owned(),
            alg: "ES256".to_owned(),
            usage: "sig".to_owned(),
            x,
            y,
            retires_at: None,
        })
    }
}

impl PublicKey {
    fn is_in_use(&self) -> bool {
        let now = chrono::Utc::now().timestamp();
        self.retires_at.is_none_or(|time| now < time)
    }
}

impl PublicKeys {
    /// Reads a JSON Web Key Set.
    ///
    /// # Errors
    /// If it is none, or a key in it is not for ES256.
    pub fn from_json(json: &str) -> Result<Self, KeyError> {
        let set: Self = serde_json::from_str(json).map_err(|_| KeyError::PublicKeys)?;
        let all_es256 = set
            .keys
            .iter()
            .all(|key| key.kty == "EC" && key.crv == "P-256" && key.alg == "ES256");
        all_es256.then_some(set).ok_or(KeyError::PublicKeys)
    }

    /// Writes a JSON Web Key Set.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// These keys and those of `others` that are not among them.
    #[must_use]
    pub fn and(mut self, others: Self) -> Self {
        for key in others.keys {
            if !self.contains(&key.kid) {
                self.keys.push(key);
            }
        }
        self
    }

    /// These keys with that of `next` as the one that signs: the others retire at this
    /// time, in seconds since 1970, unless they were to retire before. Those whose time has
    /// passed are gone.
    #[must_use]
    pub fn succeeded_by(mut self, next: &SigningKey, retires_at: i64) -> Self {
        for key in &mut self.keys {
            key.retires_at = Some(key.retires_at.unwrap_or(retires_at).min(retires_at));
        }
        self.keys.retain(PublicKey::is_in_use);
        self.keys.retain(|key| key.kid != next.id);
        self.keys.push(next.public.clone());
        self
    }

    /// The key of this id.
    pub(crate) fn find(&self, id: &str) -> Option<DecodingKey> {
        let mut keys = self.keys.iter();
        let key = keys.find(|key| key.kid == id && key.is_in_use())?;
        DecodingKey::from_ec_components(&key.x, &key.y).ok()
    }

    /// Whether a token that names this key can be verified.
    #[must_use]
    pub fn contains(&self, id: &str) -> bool {
        self.keys.iter().any(|key| key.kid == id && key.is_in_use())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_survives_writing_and_reading() {
        let (key, pem) = SigningKey::generate().unwrap();
        let read = SigningKey::from_pem(&pem).unwrap();
        assert_eq!(read.public_keys(), key.public_keys());

        let json = key.public_keys().to_json();
        assert_eq!(PublicKeys::from_json(&json).unwrap(), key.public_keys());
    }

    #[test]
    fn two_sets_are_one_without_doubles() {
        let keys = || SigningKey::generate().unwrap().0.public_keys();
        let (old, new) = (keys(), keys());
        let both = old.clone().and(new.clone());
        assert_eq!(both.keys.len(), 2);
        assert_eq!(both.clone().and(new).and(old), both);
    }

    #[test]
    fn a_key_that_is_succeeded_retires_in_time() {
        let key = || SigningKey::generate().unwrap().0;
        let (old, new, newest) = (key(), key(), key());
        let now = chrono::Utc::now().timestamp();
        let both = old.public_keys().succeeded_by(&new, now + 60);
        assert!(both.contains(old.id()) && both.contains(new.id()));
        assert_eq!(PublicKeys::from_json(&both.to_json()).unwrap(), both);
        assert_eq!(new.public_keys().to_json().matches("retiresAt").count(), 0);

        // Nothing makes it stay for longer.
        let three = both.succeeded_by(&newest, now + 600);
        assert!(three.keys[0].retires_at <= Some(now + 60));
        let one = three.succeeded_by(&newest, now);
        assert!(!one.contains(old.id()) && !one.contains(new.id()));
        assert_eq!(one, newest.public_keys());

        let mut retired = old.public_keys();
        retired.keys[0].retires_at = Some(now);
        assert!(!retired.contains(old.id()) && retired.find(old.id()).is_none());
    }

    #[test]
    fn a_key_is_never_shown() {
        let (key, pem) = SigningKey::generate().unwrap();
        let secret = pem.lines().nth(1).unwrap();
        assert!(!format!("{key:?}").contains(secret));
        assert!(!key.public_keys().to_json().contains("\"d\""));
    }
}
