//! How names sound: Double Metaphone codes.

use std::sync::LazyLock;

use rphonetic::DoubleMetaphone;

/// Codes of up to this many letters: two names that agree in them sound alike.
const LENGTH: usize = 6;

/// Shorter codes are shared by too many names to say anything.
const SHORTEST: usize = 2;

static METAPHONE: LazyLock<DoubleMetaphone> = LazyLock::new(|| DoubleMetaphone::new(Some(LENGTH)));

/// The codes of a folded word: none, one, or two where it may be pronounced in two ways. Words that
/// are not entirely of the letters A to Z have none, or all of them would be equal.
#[must_use]
pub fn codes(word: &str) -> Vec<String> {
    if word.len() < 3 || !word.bytes().all(|byte| byte.is_ascii_lowercase()) {
        return Vec::new();
    }
    let result = METAPHONE.double_metaphone(word);
    let mut codes: Vec<String> = [result.primary(), result.alternate()]
        .into_iter()
        .filter(|code| code.len() >= SHORTEST)
        .collect();
    codes.dedup();
    codes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_sound_alike_share_a_code() {
        for (one, other) in [
            ("smith", "smyth"),
            ("catherine", "katharine"),
            ("meyer", "maier"),
        ] {
            let other = codes(other);
            assert!(codes(one).iter().any(|code| other.contains(code)), "{one}");
        }
        assert!(
            !codes("smith")
                .iter()
                .any(|code| codes("jones").contains(code))
        );
    }

    #[test]
    fn what_is_not_latin_has_no_code() {
        for word in ["王芳", "иванов", "", "12", "a1b2"] {
            assert!(codes(word).is_empty(), "{word}");
        }
    }
}
