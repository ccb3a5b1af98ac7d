//! How many of the true pairs of a labelled set of records are found, and how many candidates people
//! have to look at for that: `make duplicate-recall` runs it over FEBRL3.
//!
//! It compares whom the service would compare, and weighs as the service does, without a database.
//! Records of one patient are named `rec-7-org`, `rec-7-dup-0` and so on.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    error::Error,
    io::Write as _,
};

use api::ClinicTimeZone;
use chrono::{NaiveDate, Utc};
use patients::{
    duplicates::{Grade, evidence, keys},
    email_rule::EmailRule,
    patient::Patient,
    patient_input::PatientInput,
    storage,
};
use serde_json::json;

/// A record and the patient that it is of.
struct Record {
    of: String,
    patient: Patient,
}

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("name the file of FEBRL3")?;
    let records = read(&path)?;
    let mut holders: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (place, record) in records.iter().enumerate() {
        for key in keys::of(&record.patient) {
            holders.entry(key).or_default().push(place);
        }
    }
    let mut pairs = BTreeSet::new();
    for places in holders.values() {
        for (index, &one) in places.iter().enumerate() {
            pairs.extend(places[index + 1..].iter().map(|&other| (one, other)));
        }
    }
    let mut sizes: HashMap<&str, usize> = HashMap::new();
    for record in &records {
        *sizes.entry(&record.of).or_default() += 1;
    }
    let truth: usize = sizes.values().map(|size| size * (size - 1) / 2).sum();
    let is_true = |&(one, other): &(usize, usize)| records[one].of == records[other].of;
    let compared = pairs.iter().filter(|pair| is_true(pair)).count();
    let mut out = std::io::stdout().lock();
    writeln!(out, "{} records, {truth} true pairs", records.len())?;
    writeln!(
        out,
        "| | pairs | of them true | recall | pairs per true pair |"
    )?;
    writeln!(out, "|---|---|---|---|---|")?;
    let mut row = |name: &str, all: usize, found: usize| {
        let number = |count: usize| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
        let share = |part: usize, whole: usize| number(part) / number(whole);
        let (recall, effort) = (100.0 * share(found, truth), share(all, truth));
        writeln!(
            out,
            "| {name} | {all} | {found} | {recall:.1} % | {effort:.2} |"
        )
    };
    row("compared", pairs.len(), compared)?;
    let scores: Vec<_> = pairs
        .iter()
        .map(|pair| {
            (
                pair,
                evidence::score(&records[pair.0].patient, &records[pair.1].patient),
            )
        })
        .collect();
    for (name, least) in [
        ("POSSIBLE or better", Grade::Possible),
        ("PROBABLE or better", Grade::Probable),
        ("CERTAIN", Grade::Certain),
    ] {
        let graded = scores
            .iter()
            .filter(|(_, score)| Grade::of(*score).is_some_and(|grade| grade >= least));
        let graded: Vec<_> = graded.collect();
        let found = graded.iter().filter(|(pair, _)| is_true(pair)).count();
        row(name, graded.len(), found)?;
    }
    Ok(())
}

fn read(path: &str) -> Result<Vec<Record>, Box<dyn Error>> {
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .from_path(path)?;
    let mut records = Vec::new();
    for row in reader.records() {
        let row = row?;
        let field = |place: usize| row.get(place).filter(|text| !text.is_empty());
        let (given, family) = (field(1), field(2));
        let lines: Vec<String> = [field(3), field(4)]
            .into_iter()
            .flatten()
            .map(ToOwned::to_owned)
            .collect();
        let lines = [lines.join(" "), field(5).unwrap_or_default().to_owned()];
        let lines: Vec<String> = lines.into_iter().filter(|line| !line.is_empty()).collect();
        // A date that is none says nothing, as if it were missing.
        let born = field(9).and_then(|date| NaiveDate::parse_from_str(date, "%Y%m%d").ok());
        let input: PatientInput = serde_json::from_value(json!({
            "names": [{
                "use": "OFFICIAL",
                "family": family.or(given).unwrap_or("unknown"),
                "given": given.filter(|_| family.is_some()).into_iter().collect::<Vec<_>>(),
            }],
            "emails": [],
            "addresses": [{
                "lines": lines, "city": field(6), "postalCode": field(7), "state": field(8), "country": "AU",
            }],
            "identifiers": field(10).map(|value| json!({ "system": "soc_sec_id", "value": value }))
                .into_iter().collect::<Vec<_>>(),
            "birthDate": { "value": born.map_or("1900".to_owned(), |born| born.to_string()), "estimated": born.is_none() },
        }))?;
        let details = input
            .parse(Utc::now(), ClinicTimeZone::UTC, EmailRule::Shared)
            .and_then(|change| change.of(None));
        let details = details.map_err(|problem| {
            let errors = problem.document(None).errors.into_iter();
            let errors: Vec<String> = errors.map(|(a, b)| format!("{a}: {b}")).collect();
            errors.join("; ")
        })?;
        let patient = storage::unregistered(details, NaiveDate::MAX);
        let name = row.get(0).unwrap_or_default();
        let of = name.split('-').nth(1).unwrap_or_default().to_owned();
        records.push(Record { of, patient });
    }
    Ok(records)
}
