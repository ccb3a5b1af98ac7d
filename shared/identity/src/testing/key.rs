//! Signing keys for tests.

use jsonwebtoken::EncodingKey;

use crate::{AccessTokens, KeyError, PublicKeys, SigningKey};

/// A key with both halves, and the tokens that it signs.
#[derive(Debug)]
pub struct Key {
    /// The private half, as PKCS#8 PEM.
    pub pem: String,
    /// The id by which tokens name it.
    pub id: String,
    /// A set with only the public half.
    pub public: PublicKeys,
    /// Issues tokens signed with it.
    pub tokens: AccessTokens,
}

impl Key {
    /// A new key.
    ///
    /// # Panics
    /// If no randomness is available.
    #[must_use]
    pub fn generate() -> Self {
        let made = SigningKey::generate().and_then(|(_, pem)| Self::from_pem(pem));
        made.unwrap_or_else(|error| panic!("{error}"))
    }

    /// The key in this PEM.
    ///
    /// # Errors
    /// If it is not a signing key.
    pub fn from_pem(pem: String) -> Result<Self, KeyError> {
        let key = SigningKey::from_pem(&pem)?;
        Ok(Self {
            pem,
            id: key.id().to_owned(),
            public: key.public_keys(),
            tokens: AccessTokens::new(key),
        })
    }
}

/// The key for `jsonwebtoken`, to sign tokens that [`AccessTokens`] would not issue.
///
/// # Panics
/// If the PEM is not a P-256 key.
#[must_use]
pub fn encoding_key(pem: &str) -> EncodingKey {
    let key = SigningKey::from_pem(pem).unwrap_or_else(|error| panic!("{error}"));
    key.encoding
}
