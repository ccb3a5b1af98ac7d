//! Secrets that refer to something and reveal nothing about it: the client keeps 256 random bits,
//! we keep their hash.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{
    Hmac, Mac as _,
    digest::{Key, KeyInit},
};
use secrecy::{ExposeSecret as _, SecretString, zeroize::Zeroizing};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use sha2::{Digest as _, Sha256};

/// The number of random bytes in a token. 256 bits cannot be guessed, so their hash needs neither a
/// salt nor to be slow.
const SECRET_BYTES: usize = 32;

/// A secret of 32 random bytes, preceded by as many public bytes as its kind needs to look it up.
pub struct OpaqueToken<const PUBLIC: usize> {
    /// The public bytes, by which it is looked up.
    pub public: [u8; PUBLIC],
    secret: Zeroizing<[u8; SECRET_BYTES]>,
}

/// The key from which the successors of a chain of tokens are derived: random, and stored. Whoever
/// can read the stored key still has no token, and whoever has a token does not have the key.
#[derive(Clone)]
pub struct SuccessorKey(Zeroizing<[u8; SECRET_BYTES]>);

impl SuccessorKey {
    /// Generates a new key.
    ///
    /// # Errors
    /// If no randomness is available.
    pub fn generate() -> Result<Self, NoRandomness> {
        random().map(Self)
    }
}

impl Serialize for SuccessorKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&URL_SAFE_NO_PAD.encode(self.0.as_slice()))
    }
}

impl<'de> Deserialize<'de> for SuccessorKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Zeroizing::new(String::deserialize(deserializer)?);
        let bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(&*text).map_err(D::Error::custom)?);
        let key = bytes.as_slice().try_into().map_err(D::Error::custom)?;
        Ok(Self(Zeroizing::new(key)))
    }
}

/// Keeps the secret out of logs.
impl std::fmt::Debug for SuccessorKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SuccessorKey(…)")
    }
}

fn random() -> Result<Zeroizing<[u8; SECRET_BYTES]>, NoRandomness> {
    let mut secret = Zeroizing::new([0; SECRET_BYTES]);
    getrandom::fill(secret.as_mut_slice()).map_err(NoRandomness)?;
    Ok(secret)
}

/// No randomness is available.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct NoRandomness(getrandom::Error);

impl<const PUBLIC: usize> OpaqueToken<PUBLIC> {
    /// Generates a new token.
    ///
    /// # Errors
    /// If no randomness is available.
    pub fn generate(public: [u8; PUBLIC]) -> Result<Self, NoRandomness> {
        let secret = random()?;
        Ok(Self { public, secret })
    }

    /// The successor of this token: always the same, and it can only be computed with both this
    /// token and the key.
    #[must_use]
    pub fn successor(&self, key: &SuccessorKey) -> Self {
        // A shorter key is padded with zeros (RFC 2104).
        let mut block = Zeroizing::new(Key::<Hmac<Sha256>>::default());
        block[..SECRET_BYTES].copy_from_slice(key.0.as_slice());
        let mut mac = <Hmac<Sha256> as KeyInit>::new(&block);
        mac.update(&self.public);
        mac.update(self.secret.as_slice());
        let secret = Zeroizing::new(mac.finalize().into_bytes().into());
        Self {
            public: self.public,
            secret,
        }
    }

    /// Reads a token; `None` if it cannot be one of ours.
    #[must_use]
    pub fn parse(text: &SecretString) -> Option<Self> {
        let text = text.expose_secret();
        // Checked before decoding: the length of our tokens is known.
        if text.len() != ((PUBLIC + SECRET_BYTES) * 4).div_ceil(3) {
            return None;
        }
        let bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(text).ok()?);
        let (public, secret) = bytes.split_first_chunk()?;
        Some(Self {
            public: *public,
            secret: Zeroizing::new(secret.try_into().ok()?),
        })
    }

    /// The token as the client keeps it.
    #[must_use]
    pub fn expose(&self) -> SecretString {
        let bytes = Zeroizing::new([self.public.as_slice(), self.secret.as_slice()].concat());
        URL_SAFE_NO_PAD.encode(bytes.as_slice()).into()
    }

    /// The SHA-256 of the token, which is what we store.
    #[must_use]
    pub fn hash(&self) -> String {
        let mut hash = Sha256::new();
        hash.update(self.public);
        hash.update(self.secret.as_slice());
        URL_SAFE_NO_PAD.encode(hash.finalize())
    }
}

/// Keeps the secret out of logs.
impl<const PUBLIC: usize> std::fmt::Debug for OpaqueToken<PUBLIC> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OpaqueToken(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_survives_being_kept_by_a_client() {
        let token = OpaqueToken::generate([7; 16]).unwrap();
        let kept = token.expose();
        let read = OpaqueToken::<16>::parse(&kept).unwrap();
        assert_eq!(read.public, [7; 16]);
        assert_eq!(read.hash(), token.hash());
        assert!(!format!("{token:?} {kept:?}").contains(kept.expose_secret()));
        assert!(!token.hash().contains(kept.expose_secret()));

        let other = OpaqueToken::generate([7; 16]).unwrap();
        assert_ne!(other.hash(), token.hash());
        let plain = OpaqueToken::generate([]).unwrap();
        assert!(OpaqueToken::<0>::parse(&plain.expose()).is_some());
    }

    #[test]
    fn a_successor_requires_both_the_token_and_the_key() {
        let key = SuccessorKey::generate().unwrap();
        let token = OpaqueToken::generate([7; 16]).unwrap();
        let next = token.successor(&key);
        assert_eq!(next.hash(), token.successor(&key).hash());
        assert_eq!(next.public, [7; 16]);
        let other = OpaqueToken::generate([7; 16]).unwrap();
        let others = [
            token.hash(),
            next.successor(&key).hash(),
            other.successor(&key).hash(),
            token.successor(&SuccessorKey::generate().unwrap()).hash(),
        ];
        assert!(!others.contains(&next.hash()));

        let stored = serde_json::to_string(&key).unwrap();
        let read: SuccessorKey = serde_json::from_str(&stored).unwrap();
        assert_eq!(token.successor(&read).hash(), next.hash());
        assert!(!format!("{key:?}").contains(stored.trim_matches('"')));
        assert!(serde_json::from_str::<SuccessorKey>("\"AAAA\"").is_err());
    }

    #[test]
    fn malformed_text_is_not_a_token() {
        let kept = OpaqueToken::generate([7; 16]).unwrap().expose();
        let kept = kept.expose_secret();
        for text in [
            "",
            "x",
            &kept[1..],
            &format!("{kept}="),
            &format!("{kept}A"),
            &kept.replace(char::is_alphanumeric, "+"),
            &"é".repeat(32),
            &"A".repeat(1 << 20),
        ] {
            assert!(OpaqueToken::<16>::parse(&text.into()).is_none(), "{text}");
        }
    }
}
