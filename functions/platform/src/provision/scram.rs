//! What PostgreSQL stores of a password, made here: so the password itself is in no
//! statement, and in no log of the server.

use anyhow::anyhow;
use postgres_protocol::password;

/// The verifier of the password, as `ALTER ROLE … PASSWORD` takes it: base64, `$` and `:`
/// (RFC 5802, 3; <https://www.postgresql.org/docs/current/catalog-pg-authid.html>).
///
/// # Errors
/// If the password has characters that `SASLprep` (RFC 4013) does not allow: PostgreSQL
/// would use them unchanged, but sqlx rejects them, so the functions could not log in.
pub(crate) fn verifier(password: &str) -> anyhow::Result<String> {
    stringprep::saslprep(password)
        .map_err(|_| anyhow!("it has characters that SASLprep does not allow"))?;
    Ok(password::scram_sha_256(password.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

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
