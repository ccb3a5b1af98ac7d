//! Secrets that stand for something, and say nothing about it: what a client keeps is
//! 256 random bits, what we keep is their hash.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use secrecy::{ExposeSecret as _, SecretString, zeroize::Zeroizing};
use sha2::{Digest as _, Sha256};

/// Random bytes in a token: 256 bits cannot be guessed, so that their hash needs neither
/// salt nor slowness.
pub(crate) const SECRET_BYTES: usize = 32;

/// A secret of [`SECRET_BYTES`] random bytes, behind as many public ones as its kind
/// wants (where to look it up).
pub(crate) struct OpaqueToken<const PUBLIC: usize> {
    pub(crate) public: [u8; PUBLIC],
    secret: Zeroizing<[u8; SECRET_BYTES]>,
}

/// There is no randomness to be had.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub(crate) struct NoRandomness(getrandom::Error);

impl<const PUBLIC: usize> OpaqueToken<PUBLIC> {
    /// A new token.
    pub(crate) fn generate(public: [u8; PUBLIC]) -> Result<Self, NoRandomness> {
        let mut secret = Zeroizing::new([0; SECRET_BYTES]);
        getrandom::fill(secret.as_mut_slice()).map_err(NoRandomness)?;
        Ok(Self { public, secret })
    }

    /// Reads a token; `None` for what cannot be one of ours.
    pub(crate) fn parse(text: &SecretString) -> Option<Self> {
        let text = text.expose_secret();
        // Before anything is decoded: the length of ours is known.
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
    pub(crate) fn expose(&self) -> SecretString {
        let bytes = Zeroizing::new([self.public.as_slice(), self.secret.as_slice()].concat());
        URL_SAFE_NO_PAD.encode(bytes.as_slice()).into()
    }

    /// The SHA-256 of the token, as it is stored.
    pub(crate) fn hash(&self) -> String {
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
    fn what_has_another_form_is_no_token() {
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
