//! The patients of a Synthea CSV file: synthetic people with realistic data
//! (<https://github.com/synthetichealth/synthea/wiki/CSV-File-Data-Dictionary>).

use std::{fs::File, path::Path};

use crate::NewPatient;
use anyhow::{Context as _, bail};
use csv::{Reader, StringRecord};

/// The columns that are read, as Synthea names them.
const COLUMNS: [&str; 9] = [
    "Id",
    "BIRTHDATE",
    "PREFIX",
    "FIRST",
    "LAST",
    "ADDRESS",
    "CITY",
    "STATE",
    "ZIP",
];

/// The date of death; a file of living patients may lack this column.
const DEATH: &str = "DEATHDATE";

/// A row of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The line of the file where the row begins, from 1.
    pub line: u64,
    /// Its id in the file.
    pub id: String,
    /// The date of death, if the patient has died.
    pub died: Option<String>,
    /// The patient, or why the row cannot be read.
    pub patient: Result<NewPatient, String>,
}

/// All rows of a file.
pub struct Rows {
    reader: Reader<File>,
    columns: [usize; COLUMNS.len()],
    death: Option<usize>,
    /// The number of rows.
    pub count: u64,
}

impl Rows {
    /// Opens a file and counts its rows.
    ///
    /// # Errors
    /// If it cannot be read, or lacks a required column.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let cannot = || format!("cannot read {}", path.display());
        let count = Reader::from_path(path)
            .with_context(cannot)?
            .into_records()
            .count();
        let mut reader = Reader::from_path(path).with_context(cannot)?;
        let header = reader.headers().with_context(cannot)?;
        let mut columns = [0; COLUMNS.len()];
        for (column, name) in columns.iter_mut().zip(COLUMNS) {
            let Some(position) = header.iter().position(|title| title == name) else {
                bail!("{} has no column {name}", path.display());
            };
            *column = position;
        }
        let death = header.iter().position(|title| title == DEATH);
        Ok(Self {
            reader,
            columns,
            death,
            count: u64::try_from(count)?,
        })
    }
}

impl Iterator for Rows {
    type Item = Row;

    fn next(&mut self) -> Option<Row> {
        let mut record = StringRecord::new();
        let read = self.reader.read_record(&mut record);
        let line = record
            .position()
            .map_or_else(|| self.reader.position().line(), csv::Position::line);
        match read {
            Ok(false) => None,
            Ok(true) => Some(self.row(line, &record)),
            Err(error) => Some(Row {
                line,
                id: format!("line {line}"),
                died: None,
                patient: Err(reason(&error)),
            }),
        }
    }
}

impl Rows {
    fn row(&self, line: u64, record: &StringRecord) -> Row {
        let fields = self
            .columns
            .map(|column| record.get(column).unwrap_or_default().trim());
        let [
            id,
            date_of_birth,
            prefix,
            first,
            last,
            address,
            city,
            state,
            zip,
        ] = fields;
        let died = self.death.and_then(|column| record.get(column));
        let died = died.map(str::trim).filter(|day| !day.is_empty());
        let patient = if id.is_empty() {
            Err("the row has no Id".to_owned())
        } else {
            Ok(NewPatient {
                name: joined(&[prefix, first, last], " "),
                // Nobody's address: a domain that never exists (RFC 2606).
                email: format!("{id}@synthea.example"),
                address: joined(&[address, city, &joined(&[state, zip], " ")], ", "),
                date_of_birth: date_of_birth.to_owned(),
                registered_date: None,
            })
        };
        Row {
            line,
            id: if id.is_empty() {
                format!("line {line}")
            } else {
                id.to_owned()
            },
            died: died.map(ToOwned::to_owned),
            patient,
        }
    }
}

/// Joins the non-empty parts.
fn joined(parts: &[&str], separator: &str) -> String {
    let parts: Vec<_> = parts
        .iter()
        .copied()
        .filter(|part| !part.is_empty())
        .collect();
    parts.join(separator)
}

/// csv's own message contains positions that mean nothing to people.
fn reason(error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::UnequalLengths {
            expected_len, len, ..
        } => format!("the row has {len} fields instead of {expected_len}"),
        csv::ErrorKind::Utf8 { .. } => "the row is not UTF-8".to_owned(),
        _ => "the row cannot be read".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "Id,BIRTHDATE,PREFIX,FIRST,LAST,ADDRESS,CITY,STATE,ZIP";

    fn rows(content: &[u8]) -> Vec<Row> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("patients.csv");
        std::fs::write(&path, content).unwrap();
        let rows = Rows::open(&path).unwrap();
        let count = rows.count;
        let rows: Vec<_> = rows.collect();
        assert_eq!(rows.len() as u64, count);
        rows
    }

    #[test]
    fn a_row_becomes_a_patient() {
        let content = format!(
            "{HEADER}\nab-1,1987-03-12,Ms.,Zoë1,\"Ærø, 2\",1 Main St,Boston,Massachusetts,02134\n"
        );
        let row = rows(content.as_bytes()).remove(0);
        assert_eq!((row.line, row.id.as_str()), (2, "ab-1"));
        let patient = row.patient.unwrap();
        assert_eq!(patient.name, "Ms. Zoë1 Ærø, 2");
        assert_eq!(patient.email, "ab-1@synthea.example");
        assert_eq!(patient.address, "1 Main St, Boston, Massachusetts 02134");
        assert_eq!(patient.date_of_birth, "1987-03-12");
    }

    #[test]
    fn a_row_contains_the_date_of_death() {
        let content = format!(
            "{HEADER},DEATHDATE\n1,1987-03-12,,a,b,c,d,e,f,2019-01-02\n2,1987-03-12,,a,b,c,d,e,f, \n"
        );
        let rows = rows(content.as_bytes());
        assert_eq!(rows[0].died.as_deref(), Some("2019-01-02"));
        assert_eq!(rows[1].died, None);
    }

    #[test]
    fn missing_fields_leave_no_gaps() {
        let content = format!("{HEADER}\n1,1987-03-12,,Zoë,,,Boston,Massachusetts,\n");
        let patient = rows(content.as_bytes()).remove(0).patient.unwrap();
        assert_eq!(patient.name, "Zoë");
        assert_eq!(patient.address, "Boston, Massachusetts");
    }

    #[test]
    fn an_unreadable_row_does_not_affect_the_others() {
        let mut content = format!("{HEADER}\n1,2\n,1987-03-12,,a,b,c,d,e,f\n").into_bytes();
        content.extend(b"3,\xff,,a,b,c,d,e,f\n4,1987-03-12,,a,b,c,d,e,f\n");
        let rows = rows(&content);
        let reasons: Vec<_> = rows
            .iter()
            .map(|row| (row.line, row.patient.clone().err().unwrap_or_default()))
            .collect();
        assert_eq!(
            reasons,
            [
                (2, "the row has 2 fields instead of 9".to_owned()),
                (3, "the row has no Id".to_owned()),
                (4, "the row is not UTF-8".to_owned()),
                (5, String::new()),
            ]
        );
    }

    #[test]
    fn a_file_with_other_columns_is_rejected() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("other.csv");
        std::fs::write(&path, "Id,NAME\n1,Zoë\n").unwrap();
        let error = Rows::open(&path).err().unwrap();
        assert!(error.to_string().contains("BIRTHDATE"), "{error}");
    }
}
