//! Names of people who do not exist, as many and as frequent as those of people who do.

/// How many places surnames have. Some names have several.
pub const SURNAMES: usize = 58_400;

/// How many places given names have.
pub const GIVEN_NAMES: usize = 3_000;

/// A surname's place among all: the most frequent one has one in 40.
#[must_use]
pub fn surname_of_somebody() -> usize {
    place(SURNAMES, fastrand::f64().powi(3))
}

/// A given name's place among all.
#[must_use]
pub fn given_name_of_somebody() -> usize {
    place(GIVEN_NAMES, fastrand::f64().powi(2))
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "a share of a small number"
)]
fn place(many: usize, share: f64) -> usize {
    (many as f64 * share) as usize
}

/// Pronounceable names, the most frequent first, with some of them in certain places.
#[must_use]
pub fn invented_names(many: usize, certain: &[(usize, &str)]) -> Vec<String> {
    const ONSETS: [&str; 20] = [
        "b", "br", "d", "f", "g", "h", "j", "k", "l", "m", "n", "p", "r", "s", "st", "t", "v", "w",
        "sch", "z",
    ];
    const VOWELS: [&str; 8] = ["a", "e", "i", "o", "u", "ei", "au", "oo"];
    const CODAS: [&str; 12] = [
        "n", "r", "l", "s", "t", "ck", "nd", "rt", "m", "ng", "x", "lb",
    ];
    let syllables = ONSETS.len() * VOWELS.len() * CODAS.len();
    let syllable = |number: usize| {
        let onset = ONSETS[number % ONSETS.len()];
        let vowel = VOWELS[number / ONSETS.len() % VOWELS.len()];
        let coda = CODAS[number / (ONSETS.len() * VOWELS.len()) % CODAS.len()];
        format!("{onset}{vowel}{coda}")
    };
    let mut names: Vec<String> = (0..many)
        .map(|place| {
            // Steps without a common divisor, so that neighbours do not look alike.
            let first = place * 7919 % syllables;
            let second = (place / syllables * 131 + place * 31) % syllables;
            if place % 5 == 0 {
                format!("{}{place}", syllable(first)).replace(char::is_numeric, "a")
            } else {
                format!("{}{}", syllable(first), syllable(second))
            }
        })
        .collect();
    for (place, name) in certain {
        if let Some(slot) = names.get_mut(*place) {
            (*name).clone_into(slot);
        }
    }
    names
}
