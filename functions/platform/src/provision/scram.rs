//! What PostgreSQL stores of a password, made here: so the password itself is in no
//! statement, and in no log of the server.

use anyhow::{Context as _, anyhow};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use hmac::{Hmac, Mac as _};
use sha2::{Digest as _, Sha256};

type HmacSha256 = Hmac<Sha256>;

/// As often as PostgreSQL does it (`scram_iterations`), and as RFC 7677, 4 asks for at least.
const ITERATIONS: u32 = 4096;

/// As long as PostgreSQL makes it, in bytes.
const SALT: usize = 16;

/// The verifier of the password, as `ALTER ROLE … PASSWORD` takes it: base64, `$` and `:`
/// (RFC 5802, 3; <https://www.postgresql.org/docs/current/catalog-pg-authid.html>).
///
/// # Errors
/// If the password has characters that `SASLprep` (RFC 4013) does not allow: clients could
/// not log in with it.
pub(crate) fn verifier(password: &str) -> anyhow::Result<String> {
    let mut salt = [0; SALT];
    getrandom::fill(&mut salt).map_err(|error| anyhow!("no random numbers: {error}"))?;
    with_salt(password, &salt)
}

fn with_salt(password: &str, salt: &[u8]) -> anyhow::Result<String> {
    let password = stringprep::saslprep(password)
        .map_err(|_| anyhow!("it has characters that SASLprep does not allow"))?;
    let mut salted = [0; 32];
    pbkdf2::pbkdf2::<HmacSha256>(password.as_bytes(), salt, ITERATIONS, &mut salted)
        .context("the salted password")?;
    let client_key = hmac(&salted, b"Client Key")?;
    let stored_key = Sha256::digest(client_key);
    let server_key = hmac(&salted, b"Server Key")?;
    Ok(format!(
        "SCRAM-SHA-256${ITERATIONS}:{}${}:{}",
        BASE64_STANDARD.encode(salt),
        BASE64_STANDARD.encode(stored_key),
        BASE64_STANDARD.encode(server_key),
    ))
}

fn hmac(key: &[u8], message: &[u8]) -> anyhow::Result<[u8; 32]> {
    let mut hmac = HmacSha256::new_from_slice(key)?;
    hmac.update(message);
    Ok(hmac.finalize().into_bytes().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The exchange of RFC 7677, 3: whoever has this verifier accepts the proof in it, and
    /// answers with the signature in it.
    #[test]
    fn the_verifier_is_that_of_the_standards_example() {
        const EXCHANGE: &str = "n=user,r=rOprNGfwEbeRWgbNEkqO,\
            r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,\
            c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
        const PROOF: &str = "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
        const SIGNATURE: &str = "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";
        let decode = |text: &str| BASE64_STANDARD.decode(text).unwrap();

        let verifier = with_salt("pencil", &decode("W22ZaJ0SNY7soEsUEjb6gQ==")).unwrap();
        let keys = verifier
            .strip_prefix("SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$")
            .unwrap();
        let (stored_key, server_key) = keys.split_once(':').unwrap();
        let (stored_key, server_key) = (decode(stored_key), decode(server_key));

        let signature = hmac(&server_key, EXCHANGE.as_bytes()).unwrap();
        assert_eq!(BASE64_STANDARD.encode(signature), SIGNATURE);
        let mask = hmac(&stored_key, EXCHANGE.as_bytes()).unwrap();
        let client_key: Vec<u8> = decode(PROOF)
            .iter()
            .zip(mask)
            .map(|(proof, mask)| proof ^ mask)
            .collect();
        assert_eq!(Sha256::digest(client_key)[..], stored_key);
    }

    #[test]
    fn the_same_password_has_another_verifier_each_time() {
        assert_ne!(verifier("pencil").unwrap(), verifier("pencil").unwrap());
    }

    #[test]
    fn a_verifier_ends_no_literal_whatever_the_password() {
        for password in ["it's", "\\'; DROP ROLE x; --", "Zoë–密码", "a b"] {
            let verifier = verifier(password).unwrap();
            let harmless = |c: char| c.is_ascii_alphanumeric() || "-$:+/=".contains(c);
            assert!(verifier.chars().all(harmless), "{verifier}");
        }
    }

    #[test]
    fn a_password_that_no_client_could_log_in_with_is_refused() {
        let refused = verifier("pass\u{0007}word").unwrap_err();
        assert!(!refused.to_string().contains("word"), "{refused}");
    }
}
