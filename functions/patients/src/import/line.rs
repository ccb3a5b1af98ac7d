//! From a record of a file to a patient.

use api::{ClinicTimeZone, Problem};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    date_format::DateFormat,
    layout::{Encoding, Field, Layout},
    records::Record,
};
use crate::{
    email_rule::EmailRule,
    patient_input::{Details, PatientInput},
};

/// The most characters of a reason.
const LONGEST_REASON: usize = 500;

/// A record of an export that must not become one that everybody sees.
const RESTRICTED: &str = "The record is restricted: register it by hand, and restrict it again";

const NEITHER: &str = "restricted: Must be true or false";

#[derive(Default, Deserialize)]
struct Restricted {
    #[serde(default)]
    restricted: Value,
}

/// How the records of a file are read.
pub(super) struct Reading<'a> {
    pub(super) layout: &'a Layout,
    pub(super) dates: DateFormat,
    pub(super) now: DateTime<Utc>,
    pub(super) clinic: ClinicTimeZone,
    pub(super) rule: EmailRule,
}

impl Reading<'_> {
    /// The patient, or why the record is none, in words for whoever has sent it.
    pub(super) fn patient(&self, record: &Record) -> Result<Details, String> {
        let input = match self.layout.delimiter {
            Some(_) => self.of_table(record)?,
            None => self.of_json(record)?,
        };
        let input: PatientInput = api::read_json(&input).map_err(|problem| reason(&problem))?;
        let details = input
            .parse(self.now, self.clinic, self.rule)
            .and_then(|change| change.of(None));
        // In the terms of the file.
        details.map_err(|problem| reason(&problem).replace("YYYY-MM-DD", self.dates.name()))
    }

    /// The object of the line, with its dates in our form.
    fn of_json(&self, record: &Record) -> Result<Vec<u8>, String> {
        let line = record.fields.get(0).unwrap_or_default();
        let is_restricted: Restricted = serde_json::from_slice(line).unwrap_or_default();
        match is_restricted.restricted {
            Value::Null | Value::Bool(false) => {}
            Value::Bool(true) => return Err(RESTRICTED.to_owned()),
            _ => return Err(NEITHER.to_owned()),
        }
        if self.dates == DateFormat::YearFirst {
            return Ok(line.to_vec());
        }
        let mut object: Value =
            serde_json::from_slice(line).map_err(|_| "The line is no JSON object".to_owned())?;
        let places = [
            "/dateOfBirth",
            "/registeredDate",
            "/deceasedDate",
            "/birthDate/value",
        ];
        for place in places {
            if let Some(Value::String(date)) = object.pointer_mut(place) {
                *date = self.dates.in_our_form(date.trim());
            }
        }
        Ok(object.to_string().into_bytes())
    }

    /// The fields of the row as the object that a client would send.
    fn of_table(&self, record: &Record) -> Result<Vec<u8>, String> {
        let columns = &self.layout.columns;
        let beyond = record.fields.iter().skip(columns.len());
        let has_more = beyond
            .into_iter()
            .any(|field| !field.trim_ascii().is_empty());
        if record.fields.len() < columns.len() || has_more {
            return Err(format!(
                "The line has {} fields instead of {}",
                record.fields.len(),
                columns.len()
            ));
        }
        let goes_on = |field: &[u8]| field.contains(&b'\n') || field.contains(&b'\r');
        let mut fields = columns.iter().zip(record.fields.iter());
        // With a stray quotation mark before and another after them, whole rows are a part of a field.
        let swallows = fields.find_map(|(column, field)| {
            let column = column.filter(|column| !column.may_have_lines())?;
            goes_on(field).then_some(column)
        });
        if let Some(column) = swallows {
            return Err(format!(
                "{} goes on over several lines: is a quotation mark not closed?",
                column.name()
            ));
        }
        let row = Row {
            columns,
            encoding: self.layout.encoding,
            record,
        };
        row.must_be_open()?;
        Ok(row.object(self.dates).to_string().into_bytes())
    }
}

struct Row<'a> {
    columns: &'a [Option<Field>],
    encoding: Encoding,
    record: &'a Record,
}

impl Row<'_> {
    /// What the column says; nothing if it is blank.
    fn text(&self, field: Field) -> Option<String> {
        let column = self
            .columns
            .iter()
            .position(|column| *column == Some(field))?;
        let text = self.encoding.text(self.record.fields.get(column)?);
        let text = text.trim();
        (!text.is_empty()).then(|| text.to_owned())
    }

    /// What is neither yes nor no is not taken for a no: nobody's record is opened by a typo.
    fn must_be_open(&self) -> Result<(), String> {
        let text = self.text(Field::Restricted).unwrap_or_default();
        match &*text.to_lowercase() {
            "" | "false" | "no" | "0" => Ok(()),
            "true" | "yes" | "1" => Err(RESTRICTED.to_owned()),
            _ => Err(NEITHER.to_owned()),
        }
    }

    /// Every list is there, if only empty, so that nothing is required that the file does not have.
    fn object(&self, dates: DateFormat) -> Value {
        let day = |field| self.text(field).map(|text| dates.in_our_form(&text));
        let mut patient = Map::new();
        let given: Vec<String> = self
            .text(Field::Given)
            .map(|names| names.split_whitespace().map(ToOwned::to_owned).collect())
            .unwrap_or_default();
        let official = json!({
            "use": "OFFICIAL",
            "text": self.text(Field::Name),
            "prefix": self.text(Field::Prefix),
            "given": given,
            "family": self.text(Field::Family),
            "suffix": self.text(Field::Suffix),
        });
        let former = self.text(Field::FormerName);
        let former = former.map(|text| json!({ "use": "FORMER", "text": text }));
        patient.insert(
            "names".into(),
            [Some(official), former].into_iter().flatten().collect(),
        );
        match self.text(Field::DateOfBirth) {
            // Of some patients, nobody knows more.
            Some(text) if is_part_of_date(&text) => {
                patient.insert("birthDate".into(), json!({ "value": text }));
            }
            _ => {
                patient.insert("dateOfBirth".into(), day(Field::DateOfBirth).into());
            }
        }
        let email = self
            .text(Field::Email)
            .map(|address| json!({ "address": address }));
        patient.insert("emails".into(), email.into_iter().collect());
        let phone = self
            .text(Field::Phone)
            .map(|number| json!({ "number": number }));
        let mobile = self.text(Field::Mobile);
        let mobile = mobile.map(|number| json!({ "use": "MOBILE", "number": number }));
        patient.insert(
            "phones".into(),
            [phone, mobile].into_iter().flatten().collect(),
        );
        let parts = [
            Field::Street,
            Field::City,
            Field::State,
            Field::PostalCode,
            Field::Country,
        ];
        let has_address = self.text(Field::Address).is_some()
            || parts.into_iter().any(|part| self.text(part).is_some());
        let lines: Vec<String> = self.text(Field::Street).into_iter().collect();
        let address = has_address.then(|| {
            json!({
                "text": self.text(Field::Address),
                "lines": lines,
                "city": self.text(Field::City),
                "state": self.text(Field::State),
                "postalCode": self.text(Field::PostalCode),
                "country": self.text(Field::Country),
            })
        });
        patient.insert("addresses".into(), address.into_iter().collect());
        let identifier = self.text(Field::Identifier).map(|value| {
            json!({ "system": self.text(Field::IdentifierSystem).unwrap_or_default(), "value": value })
        });
        patient.insert("identifiers".into(), identifier.into_iter().collect());
        patient.insert(
            "sex".into(),
            self.text(Field::Sex).map(|text| sex(&text)).into(),
        );
        patient.insert("language".into(), self.text(Field::Language).into());
        if let Some(date) = day(Field::RegisteredDate) {
            patient.insert("registeredDate".into(), date.into());
        }
        if let Some(date) = day(Field::DeceasedDate) {
            patient.insert("deceasedDate".into(), date.into());
        }
        patient.into()
    }
}

/// A year, or a year and a month.
fn is_part_of_date(text: &str) -> bool {
    let mut parts = text.split('-');
    let digits = |part: Option<&str>, length| {
        part.is_some_and(|part| {
            part.len() == length && part.bytes().all(|byte| byte.is_ascii_digit())
        })
    };
    let year = digits(parts.next(), 4);
    let month = parts.next();
    year && (month.is_none() || digits(month, 2)) && parts.next().is_none()
}

/// The sex by what many write for it. Anything else is refused by whoever reads it.
fn sex(text: &str) -> String {
    let known = match &*text.to_lowercase() {
        "f" | "w" | "female" => "FEMALE",
        "m" | "male" => "MALE",
        "o" | "x" | "d" | "other" => "OTHER",
        "u" | "unknown" => "UNKNOWN",
        _ => text,
    };
    known.to_owned()
}

/// Why it is not a patient, on one line and without what the line says.
fn reason(problem: &Problem) -> String {
    let errors = problem.errors().iter();
    let errors: Vec<String> = errors
        .map(|(field, message)| format!("{field}: {message}"))
        .collect();
    let reason = if errors.is_empty() {
        problem.document(None).detail
    } else {
        errors.join("; ")
    };
    reason.chars().take(LONGEST_REASON).collect()
}

#[cfg(test)]
mod tests {
    use csv::ByteRecord;

    use super::*;

    fn read(
        columns: &[Option<Field>],
        dates: DateFormat,
        row: &[&[u8]],
    ) -> Result<Details, String> {
        let layout = Layout {
            encoding: Encoding::Windows1252,
            delimiter: Some(b';'),
            columns: columns.to_vec(),
            ignored: Vec::new(),
            first_byte: 0,
            first_line: 2,
        };
        let reading = Reading {
            layout: &layout,
            dates,
            now: Utc::now(),
            clinic: ClinicTimeZone::UTC,
            rule: EmailRule::Unique,
        };
        let fields = ByteRecord::from(row.to_vec());
        reading.patient(&Record { line: 2, fields })
    }

    const COLUMNS: [Option<Field>; 5] = [
        Some(Field::Family),
        Some(Field::Given),
        Some(Field::DateOfBirth),
        None,
        Some(Field::Sex),
    ];

    /// As an export has it.
    #[test]
    fn a_restricted_record_does_not_become_an_open_one() {
        let layout = Layout {
            encoding: Encoding::Utf8,
            delimiter: None,
            columns: Vec::new(),
            ignored: Vec::new(),
            first_byte: 0,
            first_line: 1,
        };
        let reading = Reading {
            layout: &layout,
            dates: DateFormat::YearFirst,
            now: Utc::now(),
            clinic: ClinicTimeZone::UTC,
            rule: EmailRule::Shared,
        };
        let read = |restricted: Value| {
            let line = json!({
                "name": "Zo", "dateOfBirth": "2000-01-01", "restricted": restricted,
            });
            let fields = ByteRecord::from(vec![line.to_string()]);
            reading.patient(&Record { line: 1, fields }).err()
        };
        assert_eq!(read(json!(false)), None);
        assert_eq!(read(json!(true)).as_deref(), Some(RESTRICTED));
        for unclear in [json!("true"), json!(1), json!([])] {
            assert_eq!(read(unclear).as_deref(), Some(NEITHER));
        }
    }

    #[test]
    fn a_restricted_row_does_not_become_an_open_one_either() {
        let columns = [
            Some(Field::Name),
            Some(Field::DateOfBirth),
            Some(Field::Restricted),
        ];
        let reason = |restricted: &str| {
            let row: [&[u8]; 3] = [b"Zo", b"2000-01-01", restricted.as_bytes()];
            read(&columns, DateFormat::YearFirst, &row).err()
        };
        for open in ["", " ", "false", "FALSE", "no", "0"] {
            assert_eq!(reason(open), None, "{open}");
        }
        for restricted in ["true", "TRUE", "yes", "1"] {
            assert_eq!(reason(restricted).as_deref(), Some(RESTRICTED));
        }
        let neither = reason("wahr");
        assert_eq!(
            neither.as_deref(),
            Some("restricted: Must be true or false")
        );
    }

    #[test]
    fn a_row_that_swallows_others_is_refused() {
        let row: [&[u8]; 5] = [
            b"Mike,1980-01-01\nAnn,1981-01-01\nAl",
            b"",
            b"1.2.1983",
            b"a\nnote",
            b"",
        ];
        let reason = read(&COLUMNS, DateFormat::DayFirstWithDots, &row).err();
        assert_eq!(
            reason.as_deref(),
            Some("family goes on over several lines: is a quotation mark not closed?")
        );
        let row: [&[u8]; 5] = [b"Mike", b"", b"1.2.1983", b"a\nnote", b""];
        assert!(read(&COLUMNS, DateFormat::DayFirstWithDots, &row).is_ok());
    }

    #[test]
    fn a_row_becomes_a_patient() {
        let row: [&[u8]; 5] = [b"M\xfcller", b"Zo\xeb Ann", b"1.2.1983", b"?", b"w"];
        let details = read(&COLUMNS, DateFormat::DayFirstWithDots, &row)
            .unwrap_or_else(|reason| panic!("{reason}"));
        assert_eq!(details.names[0].text, "Zo\u{eb} Ann M\u{fc}ller");
        assert_eq!(details.names[0].family.as_deref(), Some("M\u{fc}ller"));
        assert_eq!(details.birth_date.value, "1983-02-01");
        assert_eq!(details.sex, Some(crate::record::Sex::Female));
        assert!(details.emails.is_empty() && details.addresses.is_empty());
        // Of some, no more than the year is known.
        let row: [&[u8]; 5] = [b"M", b"Z", b"1983", b"", b""];
        let details =
            read(&COLUMNS, DateFormat::DayFirst, &row).unwrap_or_else(|reason| panic!("{reason}"));
        assert_eq!(details.birth_date.value, "1983");
    }

    #[test]
    fn a_row_that_is_no_patient_is_refused_with_the_reason() {
        let refusal = |row: &[&[u8]]| read(&COLUMNS, DateFormat::DayFirst, row).err().unwrap();
        let short: [&[u8]; 2] = [b"a", b"b"];
        assert_eq!(refusal(&short), "The line has 2 fields instead of 5");
        let long: [&[u8]; 6] = [b"a", b"b", b"1/2/1983", b"", b"", b"more"];
        assert_eq!(refusal(&long), "The line has 6 fields instead of 5");
        let date: [&[u8]; 5] = [b"a", b"b", b"1983-02-01", b"", b""];
        assert!(
            refusal(&date).starts_with("dateOfBirth: "),
            "{}",
            refusal(&date)
        );
        let sex: [&[u8]; 5] = [b"a", b"b", b"1/2/1983", b"", b"secret"];
        let refused = refusal(&sex);
        assert!(
            refused.starts_with("sex: ") && !refused.contains("secret"),
            "{refused}"
        );
    }
}
