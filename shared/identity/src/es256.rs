//! The cryptography for `jsonwebtoken`, with ES256 as the only algorithm. Its own providers
//! support every JWT algorithm, and so they need either a C compiler or the crate `rsa`, whose
//! timing leaks keys (RUSTSEC-2023-0071).

use jsonwebtoken::{
    Algorithm, AlgorithmFamily, DecodingKey, EncodingKey,
    crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils},
    errors::{ErrorKind, Result},
    signature::{self, Signer, Verifier},
};
use p256::{
    ecdsa::{Signature, SigningKey, VerifyingKey},
    pkcs8::DecodePrivateKey as _,
};

static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: |algorithm, key| signer(*algorithm, key),
    verifier_factory: |algorithm, key| verifier(*algorithm, key),
    key_utils: KeyUtils::new_unimplemented(),
};

/// Must be called wherever one of our keys is created, before it is used. The first call sets a
/// pointer; later calls do nothing.
pub(crate) fn install() {
    let _ = PROVIDER.install_default();
}

fn signer(algorithm: Algorithm, key: &EncodingKey) -> Result<Box<dyn JwtSigner>> {
    is_es256(algorithm, key.family())?;
    let key = SigningKey::from_pkcs8_der(key.as_bytes());
    Ok(Box::new(Es256Signer(key.map_err(|_| invalid_key())?)))
}

fn verifier(algorithm: Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>> {
    is_es256(algorithm, key.family())?;
    let key = VerifyingKey::from_sec1_bytes(key.try_get_as_bytes()?);
    Ok(Box::new(Es256Verifier(key.map_err(|_| invalid_key())?)))
}

fn is_es256(algorithm: Algorithm, family: AlgorithmFamily) -> Result<()> {
    if algorithm != Algorithm::ES256 {
        return Err(ErrorKind::UnsupportedAlgorithm.into());
    }
    if family != AlgorithmFamily::Ec {
        return Err(ErrorKind::InvalidKeyFormat.into());
    }
    Ok(())
}

fn invalid_key() -> jsonwebtoken::errors::Error {
    ErrorKind::InvalidEcdsaKey.into()
}

struct Es256Signer(SigningKey);

impl Signer<Vec<u8>> for Es256Signer {
    /// Returns the signature with the lower s: see [`crate::signature`].
    fn try_sign(&self, message: &[u8]) -> signature::Result<Vec<u8>> {
        let signature: Signature = self.0.try_sign(message)?;
        Ok(signature.normalize_s().unwrap_or(signature).to_vec())
    }
}

impl JwtSigner for Es256Signer {
    fn algorithm(&self) -> Algorithm {
        Algorithm::ES256
    }
}

struct Es256Verifier(VerifyingKey);

impl Verifier<Vec<u8>> for Es256Verifier {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> signature::Result<()> {
        self.0.verify(message, &Signature::from_slice(signature)?)
    }
}

impl JwtVerifier for Es256Verifier {
    fn algorithm(&self) -> Algorithm {
        Algorithm::ES256
    }
}

#[cfg(test)]
mod tests {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    use jsonwebtoken::crypto;

    use super::*;

    /// RFC 7515, A.3.
    #[test]
    fn the_standards_example_verifies() {
        const X: &str = "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU";
        const Y: &str = "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0";
        const MESSAGE: &[u8] = b"eyJhbGciOiJFUzI1NiJ9.\
            eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFt\
            cGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
        const SIGNATURE: &str = "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djx\
            La8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
        install();
        let key = DecodingKey::from_ec_components(X, Y).unwrap();
        let verifies =
            |signature, message, algorithm| crypto::verify(signature, message, &key, algorithm);
        assert_eq!(verifies(SIGNATURE, MESSAGE, Algorithm::ES256), Ok(true));
        assert_eq!(verifies(SIGNATURE, b"another", Algorithm::ES256), Ok(false));
        assert!(verifies(SIGNATURE, MESSAGE, Algorithm::HS256).is_err());
        assert!(verifies(SIGNATURE, MESSAGE, Algorithm::ES384).is_err());
    }

    #[test]
    fn a_signature_has_the_lower_s() {
        let (key, _) = crate::SigningKey::generate().unwrap();
        // Without normalization, half of all signatures have the higher s.
        for number in 0..20_u8 {
            let signature = crypto::sign(&[number], &key.encoding, Algorithm::ES256).unwrap();
            let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
            let signature = Signature::from_slice(&signature).unwrap();
            assert_eq!(signature.normalize_s(), None);
        }
    }

    #[test]
    fn other_keys_and_algorithms_are_rejected() {
        install();
        let secret = EncodingKey::from_secret(b"secret");
        for algorithm in [Algorithm::HS256, Algorithm::ES256, Algorithm::ES384] {
            assert!(crypto::sign(b"x", &secret, algorithm).is_err());
        }
        let nonsense = EncodingKey::from_ec_der(b"nonsense");
        assert!(crypto::sign(b"x", &nonsense, Algorithm::ES256).is_err());
        // A point that is not on the curve.
        let nowhere = URL_SAFE_NO_PAD.encode([1; 32]);
        let nowhere = DecodingKey::from_ec_components(&nowhere, &nowhere).unwrap();
        assert!(crypto::verify("AA", b"x", &nowhere, Algorithm::ES256).is_err());
    }
}
