//! The one form that a signature has. Whoever sees an ECDSA signature (r, s) can make another
//! one that verifies: (r, n − s). Of the two only that with the lower s is one of ours, so that
//! nobody makes a second token from one that was seen.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use p256::ecdsa::Signature;

/// The same token with the lower s in its signature; nothing if it has no ES256 signature.
#[must_use]
pub fn with_lower_s(token: &str) -> Option<String> {
    let (message, signature) = split(token)?;
    Some(match signature.normalize_s() {
        Some(lower) => format!("{message}.{}", URL_SAFE_NO_PAD.encode(lower.to_bytes())),
        None => token.to_owned(),
    })
}

/// Whether the token has an ES256 signature, and the one with the lower s.
pub(crate) fn has_lower_s(token: &str) -> bool {
    split(token).is_some_and(|(_, signature)| signature.normalize_s().is_none())
}

fn split(token: &str) -> Option<(&str, Signature)> {
    let (message, signature) = token.rsplit_once('.')?;
    let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
    Some((message, Signature::from_slice(&signature).ok()?))
}

/// The other signature that verifies.
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
    fn of_two_signatures_one_counts() {
        let (key, _) = SigningKey::generate().unwrap();
        let keys = key.public_keys();
        let tokens = AccessTokens::new(key);
        // Half of all signatures have the higher s by themselves.
        for _ in 0..20 {
            let token = tokens
                .issue(Uuid::now_v7(), Role::Admin, Uuid::new_v4())
                .unwrap();
            assert!(verify(&token, &keys).is_ok());
            let other = with_other_s(&token).unwrap();
            assert_ne!(other, token);
            assert!(verify(&other, &keys).is_err());
            assert_eq!(with_lower_s(&other), Some(token));
        }
    }

    #[test]
    fn what_has_no_signature_has_none_with_a_lower_s() {
        for token in ["", "a.b", "a.b.", "a.b.AAAA", "a.b.c.d"] {
            assert!(!has_lower_s(token), "{token}");
            assert_eq!(with_lower_s(token), None, "{token}");
        }
    }
}
