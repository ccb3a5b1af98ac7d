//! The canonical form of a signature. Anybody who sees an ECDSA signature (r, s) can make another
//! valid one: (r, n − s). Only the one with the lower s is ours, so that nobody can derive a second
//! token from one that they have seen.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use p256::ecdsa::Signature;

/// Whether the token has an ES256 signature with the lower s.
pub(crate) fn has_lower_s(token: &str) -> bool {
    split(token).is_some_and(|(_, signature)| signature.normalize_s().is_none())
}

fn split(token: &str) -> Option<(&str, Signature)> {
    let (message, signature) = token.rsplit_once('.')?;
    let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
    Some((message, Signature::from_slice(&signature).ok()?))
}

/// The same token with the other valid signature.
#[cfg(any(test, feature = "testing"))]
#[must_use]
pub fn with_other_s(token: &str) -> Option<String> {
    let (message, signature) = split(token)?;
    let (r, s) = signature.split_scalars();
    let other = Signature::from_scalars(r, -s).ok()?;
    Some(format!(
        "{message}.{}",
        URL_SAFE_NO_PAD.encode(other.to_bytes())
    ))
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::{AccessTokens, Role, SigningKey, verify};

    #[test]
    fn only_the_signature_with_the_lower_s_is_accepted() {
        let (key, _) = SigningKey::generate().unwrap();
        let keys = key.public_keys();
        let tokens = AccessTokens::new(key);
        // Half of all signatures have the higher s at first.
        for _ in 0..20 {
            let token = tokens
                .issue(Uuid::now_v7(), Role::Admin, Uuid::new_v4())
                .unwrap();
            assert!(verify(&token, &keys).is_ok());
            let other = with_other_s(&token).unwrap();
            assert_ne!(other, token);
            assert!(verify(&other, &keys).is_err());
            assert_eq!(with_other_s(&other), Some(token));
        }
    }

    #[test]
    fn a_token_without_an_es256_signature_is_left_alone() {
        for token in ["", "a.b", "a.b.", "a.b.AAAA", "a.b.c.d"] {
            assert!(!has_lower_s(token), "{token}");
            assert_eq!(with_other_s(token), None, "{token}");
        }
    }
}
