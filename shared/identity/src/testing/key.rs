//! Keys that sign in tests.

use crate::{AccessTokens, KeyError, PublicKeys, SigningKey};

/// A key that is in use: both halves, and what it signs.
#[derive(Debug)]
pub struct Key {
    /// The private half, as PKCS#8 PEM.
    pub pem: String,
    /// What tokens name it by.
    pub id: String,
    /// The public half, alone in a set.
    pub public: PublicKeys,
    /// Signed with it.
    pub tokens: AccessTokens,
}

impl Key {
    /// A new key.
    ///
    /// # Panics
    /// If there is no randomness for it.
    #[must_use]
    pub fn generate() -> Self {
        let made = SigningKey::generate().and_then(|(_, pem)| Self::from_pem(pem));
        made.unwrap_or_else(|error| panic!("{error}"))
    }

    /// The key of this PEM.
    ///
    /// # Errors
    /// If it is none.
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
