//! How long steps take on this machine, for those who wait the next time.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::files;
use crate::settings::Settings;

/// A step that found everything done already says nothing about the next time.
const WORTH_REMEMBERING: Duration = Duration::from_secs(3);

/// A step that has been done.
#[derive(Clone, Debug, Serialize)]
pub struct Finished {
    /// Its title.
    pub title: String,
    /// How long it took, in seconds as a fraction.
    #[serde(serialize_with = "as_seconds")]
    pub wall: Duration,
    /// How much processor time the programs that it has run to their end have used.
    #[serde(serialize_with = "as_seconds")]
    pub processor: Duration,
}

fn as_seconds<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64())
}

/// Whole seconds by the title of the step, from the last run in which it took long.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Durations(BTreeMap<String, u64>);

impl Durations {
    /// What is known from earlier runs on this machine. What cannot be read is not known.
    #[must_use]
    pub fn read(settings: &Settings) -> Self {
        files::read_json(&file(settings))
            .ok()
            .flatten()
            .unwrap_or_default()
    }

    /// How long this step took the last time that it had something to do.
    #[must_use]
    pub fn of(&self, title: &str) -> Option<Duration> {
        self.0.get(title).copied().map(Duration::from_secs)
    }

    /// Keeps what a run took: as an estimate for the next run, and in full for whoever wants to
    /// know.
    ///
    /// # Errors
    /// If it cannot be written down.
    pub fn remember(settings: &Settings, finished: &[Finished]) -> Result<()> {
        files::replace_json(&settings.directory.join("steps.json"), &finished)?;
        let before = Self::read(settings);
        let after = before.clone().with(finished);
        if after == before {
            return Ok(());
        }
        files::replace_json(&file(settings), &after)
    }

    fn with(mut self, finished: &[Finished]) -> Self {
        for step in finished {
            if step.wall >= WORTH_REMEMBERING {
                self.0.insert(step.title.clone(), step.wall.as_secs());
            }
        }
        self
    }
}

fn file(settings: &Settings) -> PathBuf {
    settings.cache.join("durations.json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_steps_that_took_time_say_how_long_they_take() {
        let step = |title: &str, seconds| Finished {
            title: title.to_owned(),
            wall: Duration::from_secs(seconds),
            processor: Duration::ZERO,
        };
        let known = Durations::default()
            .with(&[step("Functions", 190), step("SAM", 4)])
            .with(&[step("Functions", 0), step("SAM", 5)]);
        assert_eq!(known.of("Functions"), Some(Duration::from_secs(190)));
        assert_eq!(known.of("SAM"), Some(Duration::from_secs(5)));
        assert_eq!(known.of("Kafka"), None);
    }
}
