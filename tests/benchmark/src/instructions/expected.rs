//! How many instructions are expected, in `tests/benchmark/instructions.json`: for each architecture
//! and profile, because they have nothing to do with each other.

use std::{
    collections::BTreeMap,
    env::consts,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

use super::callgrind::Counted;

/// How much larger than expected a count may be.
const TOLERANCE: f64 = 1.1;

type Counts = BTreeMap<String, BTreeMap<String, BTreeMap<String, u64>>>;

/// What the file says.
#[derive(Debug)]
pub(super) struct Expected {
    counts: Counts,
    profile: String,
}

/// A count beside what is expected.
#[derive(Debug, Clone, Copy)]
pub(super) struct Judgement {
    pub(super) counted: Counted,
    /// Nothing for an architecture or a profile that nobody has counted on.
    pub(super) expected: Option<u64>,
}

impl Judgement {
    /// The count as a multiple of what is expected.
    #[expect(clippy::cast_precision_loss, reason = "a ratio for people")]
    pub(super) fn ratio(&self) -> Option<f64> {
        Some(self.counted.median as f64 / self.expected? as f64)
    }

    /// Whether it is more than a tenth above what is expected.
    pub(super) fn has_grown(&self) -> bool {
        self.ratio().is_some_and(|ratio| ratio > TOLERANCE)
    }
}

impl Expected {
    /// What is committed for this profile.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub(super) fn read(profile: &str) -> Result<Self> {
        let text = fs::read_to_string(file())
            .with_context(|| format!("cannot read {}", file().display()))?;
        Self::parse(&text, profile)
    }

    fn parse(text: &str, profile: &str) -> Result<Self> {
        Ok(Self {
            counts: serde_json::from_str(text)?,
            profile: profile.to_owned(),
        })
    }

    /// Puts a count beside what is expected.
    pub(super) fn judge(&self, binary: &str, counted: Counted) -> Judgement {
        let of_machine = self.counts.get(consts::ARCH);
        let of_profile = of_machine.and_then(|counts| counts.get(&self.profile));
        let expected = of_profile.and_then(|counts| counts.get(binary));
        Judgement {
            counted,
            expected: expected.copied(),
        }
    }

    /// Expects this count from now on.
    pub(super) fn accept(&mut self, binary: &str, counted: Counted) {
        let of_machine = self.counts.entry(consts::ARCH.to_owned()).or_default();
        let of_profile = of_machine.entry(self.profile.clone()).or_default();
        of_profile.insert(binary.to_owned(), counted.median);
    }

    /// Writes the file.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(super) fn write(&self) -> Result<PathBuf> {
        let file = file();
        let text = serde_json::to_string_pretty(&self.counts)? + "\n";
        fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
        Ok(file)
    }
}

fn file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("instructions.json")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(median: u64) -> Counted {
        Counted {
            lowest: median,
            median,
            highest: median,
        }
    }

    fn expected(profile: &str) -> Expected {
        let text = format!(r#"{{"{}":{{"dev":{{"get-patient":1000}}}}}}"#, consts::ARCH);
        Expected::parse(&text, profile).unwrap()
    }

    #[test]
    fn a_tenth_more_is_accepted_and_no_more_than_that() {
        let expected = expected("dev");
        for (count, grown) in [(500, false), (1000, false), (1100, false), (1101, true)] {
            let judgement = expected.judge("get-patient", counted(count));
            assert_eq!(judgement.has_grown(), grown, "{judgement:?}");
        }
    }

    #[test]
    fn what_nobody_has_counted_cannot_have_grown() {
        let other = expected("release").judge("get-patient", counted(1_000_000));
        assert_eq!(other.expected, None);
        assert!(!other.has_grown());
        let unknown = expected("dev").judge("create-patient", counted(1_000_000));
        assert!(!unknown.has_grown());
    }

    #[test]
    fn an_accepted_count_replaces_its_own_and_no_other() {
        let mut expected = expected("dev");
        expected.accept("create-patient", counted(7));
        expected.accept("get-patient", counted(2000));
        assert_eq!(
            expected.judge("create-patient", counted(7)).expected,
            Some(7)
        );
        assert_eq!(
            expected.judge("get-patient", counted(7)).expected,
            Some(2000)
        );
    }

    #[test]
    fn the_committed_file_can_be_read() {
        Expected::read("dev").unwrap();
    }
}
