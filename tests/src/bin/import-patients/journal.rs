//! The outcome of each row, written as soon as it is known.
//!
//! The first line names the file and the API; every other line is one row. A line that was cut off
//! by a crash is ignored, and its row tried again: the API knows which patients it has.

use std::{
    collections::{HashMap, HashSet},
    fs::{self, File, OpenOptions},
    io::{ErrorKind, Write as _},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The final outcome of a row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    tag = "outcome",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub(crate) enum Outcome {
    /// The patient was registered.
    Created {
        /// The patient's id.
        patient_id: Uuid,
    },
    /// The patient exists already.
    AlreadyThere {
        /// The patient's id; missing where they were registered a moment ago.
        patient_id: Option<Uuid>,
    },
    /// The patient is skipped, because a clinic does not treat them.
    LeftOut {
        /// The reason.
        reason: String,
    },
    /// The patient cannot be registered with this data.
    Refused {
        /// The reason.
        reason: String,
    },
}

/// A settled row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// The line of the file where the row begins, from 1.
    pub(crate) line: u64,
    /// The id of the row in the file.
    pub(crate) id: String,
    /// The outcome.
    #[serde(flatten)]
    pub(crate) outcome: Outcome,
}

/// Rows that the API is importing: their outcomes are its to tell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pending {
    /// The import.
    pub(crate) import: Uuid,
    /// The line and the id of each row, in the order of the lines that were uploaded.
    pub(crate) rows: Vec<(u64, String)>,
}

/// What identifies an import.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Subject {
    /// The file that is imported.
    pub(crate) file: PathBuf,
    /// The API that it is imported into.
    pub(crate) api_url: String,
}

/// The journal of one import.
pub(crate) struct Journal {
    file: File,
    entries: HashMap<String, Entry>,
    pending: Option<Pending>,
}

impl Journal {
    /// Opens the journal of this import, or creates one. The journal of another import does not
    /// apply, and is moved aside.
    ///
    /// # Errors
    /// If the file cannot be read or written.
    pub(crate) fn open(path: &Path, subject: &Subject) -> anyhow::Result<Self> {
        let cannot = || format!("cannot use the journal {}", path.display());
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).with_context(cannot)?;
        }
        let content = match fs::read(path) {
            Ok(content) => content,
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error).with_context(cannot),
        };
        let whole = content
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |end| end + 1);
        let mut lines = content[..whole].split(|byte| *byte == b'\n');
        let before: Option<Subject> = lines
            .next()
            .and_then(|line| serde_json::from_slice(line).ok());
        let continues = before.as_ref() == Some(subject);
        let mut journal = Self {
            file: OpenOptions::new()
                .create(true)
                .append(true)
                .open(path)
                .with_context(cannot)?,
            entries: HashMap::new(),
            pending: None,
        };
        if continues {
            for line in lines {
                if let Ok(entry) = serde_json::from_slice::<Entry>(line) {
                    journal.entries.insert(entry.id.clone(), entry);
                } else if let Ok(pending) = serde_json::from_slice::<Pending>(line) {
                    journal.pending = Some(pending);
                }
            }
            journal
                .file
                .set_len(whole.try_into()?)
                .with_context(cannot)?;
        } else {
            if whole > 0 {
                fs::copy(path, path.with_extension("journal.old")).with_context(cannot)?;
            }
            journal.file.set_len(0).with_context(cannot)?;
            journal.write(subject).with_context(cannot)?;
        }
        Ok(journal)
    }

    /// The ids of the settled rows.
    pub(crate) fn ids(&self) -> HashSet<String> {
        self.entries.keys().cloned().collect()
    }

    /// The settled rows.
    pub(crate) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values()
    }

    /// Adds a settled row.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(crate) fn add(&mut self, entry: Entry) -> anyhow::Result<()> {
        self.write(&entry).context("cannot write the journal")?;
        self.entries.insert(entry.id.clone(), entry);
        Ok(())
    }

    /// Notes that the API is importing these rows.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(crate) fn wait_for(&mut self, pending: Pending) -> anyhow::Result<()> {
        self.write(&pending).context("cannot write the journal")?;
        self.pending = Some(pending);
        Ok(())
    }

    /// The rows that the API was importing when the previous run ended, unless they are settled.
    pub(crate) fn take_pending(&mut self) -> Option<Pending> {
        let pending = self.pending.take();
        pending.filter(|of| of.rows.iter().any(|(_, id)| !self.entries.contains_key(id)))
    }

    fn write(&mut self, line: &impl Serialize) -> anyhow::Result<()> {
        let mut line = serde_json::to_vec(line)?;
        line.push(b'\n');
        Ok(self.file.write_all(&line)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const THERE: Outcome = Outcome::AlreadyThere { patient_id: None };

    fn subject() -> Subject {
        Subject {
            file: PathBuf::from("/patients.csv"),
            api_url: "http://localhost/api".to_owned(),
        }
    }

    fn entry(id: &str, outcome: Outcome) -> Entry {
        Entry {
            line: 2,
            id: id.to_owned(),
            outcome,
        }
    }

    #[test]
    fn settled_rows_are_known_to_the_next_run() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/report.journal");
        let entries = [
            entry("1", THERE),
            entry(
                "2",
                Outcome::Created {
                    patient_id: Uuid::now_v7(),
                },
            ),
            entry(
                "3",
                Outcome::Refused {
                    reason: "Name\nis required".to_owned(),
                },
            ),
        ];
        let mut journal = Journal::open(&path, &subject()).unwrap();
        for entry in &entries {
            journal.add(entry.clone()).unwrap();
        }
        let journal = Journal::open(&path, &subject()).unwrap();
        let mut known: Vec<_> = journal.entries().cloned().collect();
        known.sort_by(|one, other| one.id.cmp(&other.id));
        assert_eq!(known, entries);
    }

    #[test]
    fn rows_that_the_api_is_importing_are_known_to_the_next_run() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.journal");
        let pending = Pending {
            import: Uuid::now_v7(),
            rows: vec![(2, "1".to_owned()), (3, "2".to_owned())],
        };
        let mut journal = Journal::open(&path, &subject()).unwrap();
        journal.wait_for(pending.clone()).unwrap();
        journal.add(entry("1", THERE)).unwrap();
        let mut journal = Journal::open(&path, &subject()).unwrap();
        assert_eq!(journal.take_pending(), Some(pending));
        journal.add(entry("2", THERE)).unwrap();
        let mut journal = Journal::open(&path, &subject()).unwrap();
        assert_eq!(journal.take_pending(), None);
    }

    #[test]
    fn a_truncated_line_is_ignored() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.journal");
        let mut journal = Journal::open(&path, &subject()).unwrap();
        journal.add(entry("1", THERE)).unwrap();
        let whole = fs::metadata(&path).unwrap().len();
        journal.add(entry("2", THERE)).unwrap();
        let end = fs::metadata(&path).unwrap().len();
        for length in whole..end {
            File::options()
                .write(true)
                .open(&path)
                .unwrap()
                .set_len(length)
                .unwrap();
            let mut journal = Journal::open(&path, &subject()).unwrap();
            assert_eq!(journal.ids(), HashSet::from(["1".to_owned()]), "{length}");
            journal.add(entry("2", THERE)).unwrap();
            assert_eq!(
                Journal::open(&path, &subject()).unwrap().ids().len(),
                2,
                "{length}"
            );
        }
    }

    #[test]
    fn the_journal_of_another_import_is_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.journal");
        let mut journal = Journal::open(&path, &subject()).unwrap();
        journal.add(entry("1", THERE)).unwrap();
        let elsewhere = Subject {
            api_url: "http://localhost/other".to_owned(),
            ..subject()
        };
        let journal = Journal::open(&path, &elsewhere).unwrap();
        assert!(journal.ids().is_empty());
        assert!(path.with_extension("journal.old").exists());
    }
}
