//! The commands in README.md work.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use serde_json::Value;
use system_tests::Clinic;
use tempfile::TempDir;

/// The first shell commands below a heading.
fn commands(heading: &str) -> String {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let readme = fs::read_to_string(readme).unwrap();
    let (_, section) = readme.split_once(heading).expect("the heading");
    let (_, commands) = section.split_once("```sh\n").expect("shell commands");
    let (commands, _) = commands.split_once("```").expect("their end");
    commands.to_owned()
}

#[tokio::test]
async fn the_walk_through_in_the_readme_works_twice() {
    let clinic = Clinic::open();
    let commands = commands("## A walk-through");
    let mut patients = BTreeSet::new();
    for _ in 0..2 {
        let mut shell = Command::new("bash");
        shell
            .args(["-euc", &commands])
            .env("API_URL", &clinic.stack().api_url);
        let output = tokio::task::spawn_blocking(move || shell.output());
        let output = output.await.unwrap().unwrap();
        assert!(output.status.success(), "{output:?}");
        let answers: Vec<Value> = String::from_utf8(output.stdout)
            .unwrap()
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let [patient, account, analytics, notifications, audit, mistake] = &answers[..] else {
            panic!("{answers:?}");
        };
        assert_eq!(account["patientId"], patient["id"], "{account}");
        assert!(analytics["totals"]["created"].is_u64(), "{analytics}");
        assert!(notifications["notifications"].is_array(), "{notifications}");
        assert_eq!(audit["records"][0]["patientIds"][0], patient["id"]);
        assert_eq!(mistake["errors"]["name"], "Must be a string");
        patients.insert(patient["id"].to_string());
    }
    assert_eq!(patients.len(), 2);
}

/// Runs shell commands in an empty folder. Returns it, and what they have printed: JSON on each line.
async fn paste(clinic: &Clinic, commands: &str) -> (TempDir, Vec<Value>) {
    let folder = TempDir::new().unwrap();
    let mut shell = Command::new("bash");
    shell
        .args(["-euc", commands])
        .current_dir(folder.path())
        .env("API_URL", &clinic.stack().api_url);
    let output = tokio::task::spawn_blocking(move || shell.output());
    let output = output.await.unwrap().unwrap();
    assert!(output.status.success(), "{output:?}");
    let answers = String::from_utf8(output.stdout).unwrap();
    let answers = answers.lines().map(|line| {
        let answer = serde_json::from_str(line);
        answer.unwrap_or_else(|error| panic!("{error}: {line}"))
    });
    (folder, answers.collect())
}

#[tokio::test]
async fn the_bill_in_the_readme_is_paid_each_time() {
    let clinic = Clinic::open();
    let bill = commands("### A bill");
    let all = [
        commands("## A walk-through"),
        commands("### An appointment"),
        bill.clone(),
        bill,
    ];
    let (folder, answers) = paste(&clinic, &all.concat()).await;
    let bills = &answers[answers.len() - 10..];
    // The second one uses what the first one has left, and leaves as much more.
    for (bill, (allocated, credit, lines)) in bills.chunks(5).zip([(0, 2265, 2), (2265, 4530, 4)]) {
        let [price, charge, invoice, payment, statement] = bill else {
            panic!("{bill:?}");
        };
        let units = |of: &Value| of["minorUnits"].as_i64().unwrap();
        assert_eq!(charge["code"], price["code"], "{charge}");
        assert_eq!(charge["state"], "BILLABLE", "{charge}");
        assert_eq!(invoice["state"], "ISSUED", "{invoice}");
        assert!(invoice["number"].is_string(), "{invoice}");
        assert_eq!(units(&invoice["total"]), 7735, "{invoice}");
        assert_eq!(units(&invoice["allocated"]), allocated, "{invoice}");
        assert_eq!(payment["allocations"][0]["invoiceId"], invoice["id"]);
        assert_eq!(units(&statement["closing"]), -credit, "{statement}");
        assert_eq!(statement["lines"].as_array().unwrap().len(), lines);
    }
    let file = fs::read(folder.path().join("invoice.pdf")).unwrap();
    assert!(file.starts_with(b"%PDF"));
}

#[tokio::test]
async fn the_appointment_in_the_readme_is_booked_once() {
    let clinic = Clinic::open();
    let commands = commands("## A walk-through") + &commands("### An appointment");
    let mut shell = Command::new("bash");
    shell
        .args(["-euc", &commands])
        .env("API_URL", &clinic.stack().api_url);
    let output = tokio::task::spawn_blocking(move || shell.output());
    let output = output.await.unwrap().unwrap();
    assert!(output.status.success(), "{output:?}");
    let answers: Vec<Value> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let [.., appointment, refusal] = &answers[..] else {
        panic!("{answers:?}");
    };
    assert_eq!(appointment["status"], "BOOKED", "{appointment}");
    assert_eq!(appointment["timeZone"], "Europe/London");
    let reasons: BTreeSet<&str> = refusal["conflicts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|conflict| conflict["reason"].as_str().unwrap())
        .collect();
    assert_eq!(reasons, BTreeSet::from(["PATIENT_BUSY", "TAKEN"]));
}
