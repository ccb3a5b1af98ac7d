//! Passwords, and the Argon2id hashes that are stored instead.

use argon2::{Algorithm, Argon2, Params, PasswordHasher as _, PasswordVerifier as _, Version};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::task::spawn_blocking;
use unicode_normalization::UnicodeNormalization as _;

use super::password_rules::is_too_common;

/// The longest password, in characters: enough for any passphrase, too short to keep us busy
/// hashing.
const MAX_CHARACTERS: usize = 128;

/// The shortest password that a user can choose, in characters.
const MIN_CHARACTERS: usize = 12;

/// Memory, in KiB.
const MEMORY: u32 = 19 * 1024;
const ITERATIONS: u32 = 2;
const PARALLELISM: u32 = 1;

/// What is wrong with a password, in a message for the user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPassword {
    /// It is missing.
    #[error("Password is required")]
    Missing,
    /// It is too short for a new one.
    #[error("Password must have at least {MIN_CHARACTERS} characters")]
    TooShort,
    /// It is too long.
    #[error("Password cannot exceed {MAX_CHARACTERS} characters")]
    TooLong,
    /// It is one of those that attackers try first.
    #[error("Password is too common, or too much like the e-mail address")]
    TooCommon,
}

/// A password of 1 to 128 characters, in Unicode's composed form (NFC), so that it is the same
/// whatever keyboard it is typed on.
#[derive(Debug, Clone)]
pub struct Password(SecretString);

/// Compares two passwords that the same person has just typed: the timing reveals nothing.
impl PartialEq for Password {
    fn eq(&self, other: &Self) -> bool {
        self.bytes() == other.bytes()
    }
}

impl Password {
    /// A password to be checked.
    ///
    /// # Errors
    /// If it is missing or too long.
    pub fn parse(text: &SecretString) -> Result<Self, InvalidPassword> {
        let composed: String = text.expose_secret().nfc().collect();
        match composed.chars().count() {
            0 => Err(InvalidPassword::Missing),
            1..=MAX_CHARACTERS => Ok(Self(composed.into())),
            _ => Err(InvalidPassword::TooLong),
        }
    }

    /// A new password for the user with this address.
    ///
    /// # Errors
    /// If it is missing, too short, too long or too common.
    pub fn choose(text: &SecretString, email: &str) -> Result<Self, InvalidPassword> {
        let password = Self::parse(text)?;
        let chosen = password.0.expose_secret();
        if chosen.chars().count() < MIN_CHARACTERS {
            return Err(InvalidPassword::TooShort);
        }
        let clinic = std::env::var("CLINIC_NAME").unwrap_or_default();
        let local_part = email.split('@').next().unwrap_or_default();
        let parts = local_part.split(|c: char| !c.is_alphanumeric());
        let names = parts.chain([email, local_part, clinic.as_str()]);
        if is_too_common(chosen, names) {
            return Err(InvalidPassword::TooCommon);
        }
        Ok(password)
    }

    fn bytes(&self) -> &[u8] {
        self.0.expose_secret().as_bytes()
    }
}

/// A hash could not be computed or read.
#[derive(Debug, thiserror::Error)]
#[error("hashing a password failed: {0}")]
pub struct HashingFailed(String);

/// The Argon2id hash of a password, as a PHC string with its parameters and salt.
#[derive(Clone)]
pub struct PasswordHash(String);

impl PasswordHash {
    /// Hashes a password: tens of milliseconds of work, done off the event loop.
    ///
    /// # Errors
    /// If memory or randomness is not available.
    pub async fn of(password: Password) -> Result<Self, HashingFailed> {
        let hash = beside_the_event_loop(move || {
            let hash = argon2()?.hash_password(password.bytes())?;
            Ok(hash.to_string())
        });
        hash.await.map(Self)
    }

    /// The hash of no password at all: checking a password against it takes as long as against a
    /// real hash, and always fails.
    #[must_use]
    pub fn of_nobody() -> Self {
        // Salt and output are encoded sentences, not the hash of anything.
        Self(format!(
            "$argon2id$v=19$m={MEMORY},t={ITERATIONS},p={PARALLELISM}\
             $bm9ib2R5J3Mgc2FsdCEhIQ$dGhpcyBpcyBub3QgdGhlIGhhc2ggb2YgYW55dGhpbmc"
        ))
    }

    /// A hash read from the database.
    #[must_use]
    pub fn from_stored(hash: String) -> Self {
        Self(hash)
    }

    /// The hash in the form that is stored.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it was computed with weaker parameters than today's: then the password should be
    /// hashed again at the next opportunity.
    #[must_use]
    pub fn is_outdated(&self) -> bool {
        let parameters = argon2::password_hash::phc::PasswordHash::new(&self.0)
            .ok()
            .and_then(|hash| Params::try_from(&hash).ok());
        parameters.is_none_or(|parameters| {
            parameters.m_cost() < MEMORY
                || parameters.t_cost() < ITERATIONS
                || parameters.p_cost() < PARALLELISM
        })
    }

    /// Whether it is the hash of this password. Costs as much as computing it.
    ///
    /// # Errors
    /// If the hash cannot be read, or memory is not available.
    pub async fn matches(self, password: Password) -> Result<bool, HashingFailed> {
        beside_the_event_loop(move || {
            match argon2()?.verify_password(password.bytes(), self.0.as_str()) {
                Ok(()) => Ok(true),
                Err(argon2::password_hash::Error::PasswordInvalid) => Ok(false),
                Err(error) => Err(error.into()),
            }
        })
        .await
    }
}

/// Keeps the hash out of logs.
impl std::fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PasswordHash(…)")
    }
}

fn argon2() -> Result<Argon2<'static>, HashingFailed> {
    let params = Params::new(MEMORY, ITERATIONS, PARALLELISM, None)
        .map_err(|error| HashingFailed(error.to_string()))?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

impl From<argon2::password_hash::Error> for HashingFailed {
    fn from(error: argon2::password_hash::Error) -> Self {
        Self(error.to_string())
    }
}

async fn beside_the_event_loop<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, HashingFailed> + Send + 'static,
) -> Result<T, HashingFailed> {
    match spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(HashingFailed(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn password(text: &str) -> Password {
        Password::parse(&text.into()).unwrap()
    }

    #[tokio::test]
    async fn a_hash_matches_only_its_password() {
        let hash = PasswordHash::of(password("pässword 🔑")).await.unwrap();
        assert!(hash.as_str().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        // The same password with a combining diaeresis.
        let decomposed = password("pa\u{308}ssword 🔑");
        assert!(hash.clone().matches(decomposed).await.unwrap());
        assert!(!hash.matches(password("password 🔑")).await.unwrap());
    }

    #[tokio::test]
    async fn hashing_a_password_twice_gives_different_hashes() {
        let hash = || PasswordHash::of(password("the same"));
        assert_ne!(
            hash().await.unwrap().as_str(),
            hash().await.unwrap().as_str()
        );
    }

    #[tokio::test]
    async fn the_hash_of_nobody_never_matches_and_costs_the_same() {
        let nobody = PasswordHash::of_nobody();
        let somebody = PasswordHash::of(password("anything")).await.unwrap();
        let cost = |hash: &PasswordHash| {
            let end = hash.as_str().match_indices('$').nth(3).unwrap().0;
            hash.as_str()[..end].to_owned()
        };
        assert_eq!(cost(&nobody), cost(&somebody));
        assert_eq!(nobody.as_str().len(), somebody.as_str().len());
        assert!(!nobody.matches(password("anything")).await.unwrap());
    }

    #[tokio::test]
    async fn a_hash_that_cannot_be_read_is_an_error() {
        for stored in [
            "",
            "password",
            "$argon2id$",
            "$2b$10$abcdefghijklmnopqrstuu",
        ] {
            let hash = PasswordHash::from_stored(stored.to_owned());
            assert!(
                hash.matches(password("password")).await.is_err(),
                "{stored}"
            );
        }
    }

    #[tokio::test]
    async fn a_hash_with_weaker_parameters_is_outdated() {
        let current = PasswordHash::of(password("anything")).await.unwrap();
        assert!(!current.is_outdated());
        let replaced = |from: &str, to: &str| {
            PasswordHash::from_stored(current.as_str().replace(from, to)).is_outdated()
        };
        assert!(replaced("m=19456", "m=19455"));
        assert!(replaced("t=2", "t=1"));
        assert!(!replaced("m=19456", "m=65536"));
    }

    #[test]
    fn the_length_of_a_password_is_limited() {
        let parse = |text: &str| Password::parse(&text.into()).map(|_| ());
        let choose = |text: &str| Password::choose(&text.into(), "zoe@clinic.example").map(|_| ());
        assert_eq!(parse(""), Err(InvalidPassword::Missing));
        assert_eq!(parse("🔑"), Ok(()));
        assert_eq!(parse(&"🔑".repeat(128)), Ok(()));
        assert_eq!(parse(&"🔑".repeat(129)), Err(InvalidPassword::TooLong));
        assert_eq!(choose("kjhGF%4#lkj"), Err(InvalidPassword::TooShort));
        assert_eq!(choose("kjhGF%4#lkjh"), Ok(()));
        assert_eq!(choose("Password1234"), Err(InvalidPassword::TooCommon));
        assert_eq!(
            choose("zoe@clinic.example"),
            Err(InvalidPassword::TooCommon)
        );
    }

    #[test]
    fn a_password_is_never_shown() {
        assert!(!format!("{:?}", password("hunter2")).contains("hunter2"));
    }
}
