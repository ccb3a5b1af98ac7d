//! The keys behind the access tokens: one private key that signs, and the public keys that verify,
//! as a JSON Web Key Set (RFC 7517).

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

use crate::es256;

/// A key cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The private key is not a P-256 key in PKCS#8 PEM.
    #[error("the signing key cannot be read")]
    SigningKey,
    /// The key set is not a JWKS of P-256 keys.
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
    /// Generates a new key. Returns it with its PKCS#8 PEM.
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
    /// If it is not a P-256 key in this format.
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        let secret = SecretKey::from_pkcs8_pem(pem).map_err(|_| KeyError::SigningKey)?;
        let public = PublicKey::of(&secret).ok_or(KeyError::SigningKey)?;
        let der = secret.to_pkcs8_der().map_err(|_| KeyError::SigningKey)?;
        es256::install();
        Ok(Self {
            id: public.kid.clone(),
            encoding: EncodingKey::from_ec_der(der.as_bytes()),
            public,
        })
    }

    /// The id by which tokens name the key.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// A set with only the public half.
    #[must_use]
    pub fn public_keys(&self) -> PublicKeys {
        PublicKeys {
            keys: vec![self.public.clone()],
        }
    }
}

/// Reveals the id of the key, never the key.
impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigningKey")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// How long a retired key is remembered, in seconds: as long as a function may run. A function that
/// read the signing key before it was replaced then finds it retired, and does not mistake it for a
/// key that was never published.
const REMEMBERED_FOR: i64 = 15 * 60;

/// The public keys for verifying access tokens: a JSON Web Key Set.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
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
    /// Key id: the RFC 7638 thumbprint.
    kid: String,
    /// Until when tokens signed with this key are accepted, in seconds since 1970; missing for the
    /// key that currently signs.
    #[serde(default, rename = "retiresAt", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
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
        self.retires_after(chrono::Utc::now().timestamp())
    }

    fn retires_after(&self, time: i64) -> bool {
        self.retires_at.is_none_or(|retires_at| time < retires_at)
    }

    /// A retirement is never postponed.
    fn retire(&mut self, time: i64) {
        self.retires_at = Some(self.retires_at.unwrap_or(time).min(time));
    }
}

impl PublicKeys {
    /// Reads a JSON Web Key Set.
    ///
    /// # Errors
    /// If it is not a key set, or a key in it is not for ES256.
    pub fn from_json(json: &str) -> Result<Self, KeyError> {
        let set: Self = serde_json::from_str(json).map_err(|_| KeyError::PublicKeys)?;
        let all_es256 = set
            .keys
            .iter()
            .all(|key| key.kty == "EC" && key.crv == "P-256" && key.alg == "ES256");
        all_es256.then_some(set).ok_or(KeyError::PublicKeys)
    }

    /// Writes the JSON Web Key Set.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The keys of both sets. A key that is in both retires at the earlier of the two times.
    #[must_use]
    pub fn and(mut self, others: Self) -> Self {
        for key in others.keys {
            match self.keys.iter_mut().find(|own| own.kid == key.kid) {
                Some(own) => {
                    if let Some(time) = key.retires_at {
                        own.retire(time);
                    }
                }
                None => self.keys.push(key),
            }
        }
        self
    }

    /// These keys and that of `signer`. The others retire at this time, in seconds since 1970,
    /// unless they retire earlier. Keys that retired long ago are dropped.
    #[must_use]
    pub fn signed_by(self, signer: &SigningKey, others_retire_at: i64) -> Self {
        let forgotten = chrono::Utc::now().timestamp() - REMEMBERED_FOR;
        let mut all = self.and(signer.public_keys());
        for key in all.keys.iter_mut().filter(|key| key.kid != signer.id) {
            key.retire(others_retire_at);
        }
        all.keys.retain(|key| key.retires_after(forgotten));
        all
    }

    /// Whether this key is in the set and has a time of retirement, past or future.
    #[must_use]
    pub fn retires(&self, id: &str) -> bool {
        let mut keys = self.keys.iter();
        keys.any(|key| key.kid == id && key.retires_at.is_some())
    }

    /// The keys that tokens may be verified with.
    #[must_use]
    pub fn in_use(&self) -> Self {
        let keys = self.keys.iter().filter(|key| key.is_in_use());
        Self {
            keys: keys.cloned().collect(),
        }
    }

    /// The key with this id, unless it has retired.
    pub(crate) fn find(&self, id: &str) -> Option<DecodingKey> {
        let mut keys = self.keys.iter();
        let key = keys.find(|key| key.kid == id && key.is_in_use())?;
        es256::install();
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
    fn a_key_in_both_sets_is_there_once() {
        let keys = || SigningKey::generate().unwrap().0.public_keys();
        let (old, new) = (keys(), keys());
        let both = old.clone().and(new.clone());
        assert_eq!(both.keys.len(), 2);
        assert_eq!(both.clone().and(new).and(old), both);
    }

    #[test]
    fn a_replaced_key_retires_in_time() {
        let key = || SigningKey::generate().unwrap().0;
        let (old, new, newest) = (key(), key(), key());
        let now = chrono::Utc::now().timestamp();
        let both = old.public_keys().signed_by(&new, now + 60);
        assert!(both.contains(old.id()) && both.contains(new.id()));
        assert!(both.retires(old.id()) && !both.retires(new.id()));
        assert_eq!(PublicKeys::from_json(&both.to_json()).unwrap(), both);
        assert_eq!(new.public_keys().to_json().matches("retiresAt").count(), 0);

        // The retirement is not postponed.
        let three = both.signed_by(&newest, now + 600);
        assert!(three.keys[0].retires_at <= Some(now + 60));
        let one = three.signed_by(&newest, now);
        assert!(!one.contains(old.id()) && !one.contains(new.id()));
        assert_eq!(one.in_use(), newest.public_keys());

        // Not even by a set that does not know of the retirement yet.
        let again = one.and(old.public_keys());
        assert!(!again.contains(old.id()) && again.retires(old.id()));
        let first = old.public_keys().and(again);
        assert!(!first.contains(old.id()) && first.find(old.id()).is_none());

        // A retired key is remembered for a while.
        let remembered = first.signed_by(&newest, now - REMEMBERED_FOR + 60);
        assert_eq!(remembered.keys.len(), 3);
        let forgotten = remembered.signed_by(&newest, now - REMEMBERED_FOR);
        assert_eq!(forgotten, newest.public_keys());
    }

    #[test]
    fn the_private_key_is_never_revealed() {
        let (key, pem) = SigningKey::generate().unwrap();
        let secret = pem.lines().nth(1).unwrap();
        assert!(!format!("{key:?}").contains(secret));
        assert!(!key.public_keys().to_json().contains("\"d\""));
    }
}
