//! Importing another system's patients with `import-patients`.

use std::{
    collections::BTreeSet,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

use contracts::patient::v1::patient_event::Change;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use system_tests::{Clinic, Patient, Topic, within};
use uuid::Uuid;

const ROWS: usize = 30;

/// The first rows of living patients in the sample data, with new ids and this at the end of their
/// names, because whoever is there already is not imported again; then two rows that the API
/// rejects, and one of a patient who has died.
fn write_csv(folder: &Path, ending: &str) -> PathBuf {
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/synthea/patients.csv");
    let sample = fs::read_to_string(sample).unwrap();
    let mut lines = sample.lines();
    let header = lines.next().unwrap();
    let path = folder.join("patients.csv");
    let mut file = fs::File::create(&path).unwrap();
    writeln!(file, "{header}").unwrap();
    let living = lines.filter(|row| row.split(',').nth(2) == Some(""));
    let rows: Vec<&str> = living.take(ROWS).collect();
    for row in &rows {
        let mut fields: Vec<&str> = row.split(',').collect();
        let (id, family) = (Uuid::new_v4().to_string(), format!("{}{ending}", fields[8]));
        (fields[0], fields[8]) = (&id, &family);
        writeln!(file, "{}", fields.join(",")).unwrap();
    }
    let mut fields: Vec<&str> = rows[0].split(',').collect();
    let (unborn, nameless) = (Uuid::new_v4().to_string(), Uuid::new_v4().to_string());
    let long = "x".repeat(101);
    (fields[0], fields[1]) = (&unborn, "2999-01-01");
    writeln!(file, "{}", fields.join(",")).unwrap();
    (fields[0], fields[1], fields[8]) = (&nameless, "1999-01-01", &long);
    writeln!(file, "{}", fields.join(",")).unwrap();
    let dead = Uuid::new_v4().to_string();
    (fields[0], fields[2], fields[8]) = (&dead, "2019-01-02", "Feil");
    writeln!(file, "{}", fields.join(",")).unwrap();
    path
}

struct Import {
    folder: tempfile::TempDir,
    file: PathBuf,
    /// What the names end with.
    ending: String,
}

impl Import {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ending = format!("-{}", Uuid::new_v4().simple());
        let file = write_csv(folder.path(), &ending);
        Self {
            folder,
            file,
            ending,
        }
    }

    fn report(&self) -> PathBuf {
        self.folder.path().join("report.json")
    }

    fn journal(&self) -> PathBuf {
        self.folder.path().join("report.journal")
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_import-patients"));
        command
            .arg("--file")
            .arg(&self.file)
            .arg("--report")
            .arg(self.report())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs the import to its end, with these additional arguments.
    async fn run(&self, arguments: &[&str]) -> Output {
        let mut command = self.command();
        command.args(arguments);
        let output = tokio::task::spawn_blocking(move || command.output());
        output.await.unwrap().unwrap()
    }

    /// Runs the import until the API has the rows, then sends a signal.
    async fn interrupt(&self, signal: Signal) -> Output {
        let child = self.command().spawn().unwrap();
        within(Duration::from_mins(1), "the rows to be sent", async || {
            let journal = fs::read_to_string(self.journal()).unwrap_or_default();
            journal.contains("\"import\":").then_some(())
        })
        .await;
        send(&child, signal);
        let output = tokio::task::spawn_blocking(move || child.wait_with_output());
        output.await.unwrap().unwrap()
    }

    fn read_report(&self) -> Value {
        serde_json::from_slice(&fs::read(self.report()).unwrap()).unwrap()
    }
}

fn send(child: &Child, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

#[tokio::test]
async fn an_interrupted_import_resumes_where_it_stopped() {
    let clinic = Clinic::open();
    let mut topic = Topic::listen().await;
    let import = Import::new();

    let first = import.interrupt(Signal::INT).await;
    assert_eq!(first.status.code(), Some(130), "{first:?}");
    let report = import.read_report();
    assert_eq!(report["interrupted"], true, "{report}");
    import.interrupt(Signal::KILL).await;

    let last = import.run(&[]).await;
    assert_eq!(last.status.code(), Some(0), "{last:?}");
    let report = import.read_report();
    assert_eq!(report["interrupted"], false);
    assert_eq!(report["rows"], ROWS + 3);
    // Rows that were sent anew may be there already.
    let (created, already_there) = (&report["created"], &report["alreadyThere"]);
    let both = created.as_u64().unwrap() + already_there.as_u64().unwrap();
    assert_eq!(both, ROWS as u64, "{report}");

    let refused = report["refused"].as_array().unwrap();
    let lines: Vec<_> = refused
        .iter()
        .map(|row| row["line"].as_u64().unwrap())
        .collect();
    assert_eq!(lines, [32, 33]);
    let reasons: Vec<_> = refused
        .iter()
        .map(|row| row["reason"].as_str().unwrap())
        .collect();
    assert_eq!(
        reasons,
        [
            "dateOfBirth: Date of birth cannot be in the future",
            "name: Name cannot exceed 100 characters"
        ]
    );
    let left_out = report["leftOut"].as_array().unwrap();
    assert_eq!(left_out.len(), 1, "{report}");
    assert_eq!(left_out[0]["line"], 34);
    assert_eq!(left_out[0]["reason"], "died on 2019-01-02");
    let text = String::from_utf8(last.stdout).unwrap();
    let lines = ["line 32", "line 33", "line 34", "died on 2019-01-02"];
    for part in reasons.iter().copied().chain(lines) {
        assert!(text.contains(part), "{part}: {text}");
    }

    // Every patient exists once.
    let journal = fs::read_to_string(import.journal()).unwrap();
    let entries = journal
        .lines()
        .skip(1)
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let patients: Vec<Uuid> = entries
        .filter_map(|entry| entry["patientId"].as_str()?.parse().ok())
        .collect();
    let distinct: BTreeSet<_> = patients.iter().collect();
    assert_eq!((patients.len(), distinct.len()), (ROWS, ROWS));
    let visitor = clinic.administrator().await;
    let path = format!("/api/patients/{}", patients[0]);
    let patient: Patient = visitor.get(&path).answers(200).await.read();
    assert_eq!(
        patient.name,
        format!("Mr. José Eduardo181 Gómez206{}", import.ending)
    );
    assert_eq!(
        patient.address,
        "427 Balistreri Way Unit 19, Chicopee, Massachusetts 01013"
    );
    assert_eq!(patient.date_of_birth.to_string(), "1989-05-25");
    // Nobody is welcomed unless the import asks for it. Everybody is announced by the relay, which
    // otherwise runs once a minute.
    clinic.aws().invoke("relay-outbox", &json!({})).await;
    let created = &topic.records_about(patient.id, 1).await[0].event.change;
    let Some(Change::Created(created)) = created else {
        panic!("{created:?}")
    };
    assert!(created.without_welcome);
}

#[tokio::test]
async fn a_repeated_import_creates_nothing_twice() {
    let _clinic = Clinic::open();
    let import = Import::new();
    let some = import.run(&["--limit", "7"]).await;
    assert_eq!(some.status.code(), Some(0), "{some:?}");
    assert_eq!(import.read_report()["created"], 7);
    let first = import.run(&[]).await;
    assert_eq!(first.status.code(), Some(0), "{first:?}");
    assert_eq!(import.read_report()["created"], ROWS);

    let again = import.run(&[]).await;
    assert_eq!(again.status.code(), Some(0), "{again:?}");
    let report = import.read_report();
    assert_eq!(
        (&report["created"], &report["before"]),
        (&ROWS.into(), &(ROWS + 3).into())
    );

    // Without the journal, the API recognises the patients.
    fs::remove_file(import.journal()).unwrap();
    let anew = import.run(&[]).await;
    assert_eq!(anew.status.code(), Some(0), "{anew:?}");
    let report = import.read_report();
    assert_eq!(report["created"], 0, "{report}");
    assert_eq!(report["alreadyThere"], ROWS, "{report}");
    assert_eq!(report["refused"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn an_import_that_cannot_start_says_why() {
    let _clinic = Clinic::open();
    let import = Import::new();
    for (arguments, reason) in [
        (
            ["--password", "not the password"],
            "the API rejects the login",
        ),
        (
            ["--api-url", "http://127.0.0.1:1"],
            "the API cannot be reached",
        ),
        (["--limit", "many"], "limit"),
    ] {
        let output = import.run(&arguments).await;
        assert!(!output.status.success(), "{output:?}");
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(text.contains(reason), "{reason}: {text}");
        assert!(!text.contains("not the password"), "{text}");
    }
    let no_file = Command::new(env!("CARGO_BIN_EXE_import-patients"))
        .args(["--file", "/nowhere.csv"])
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&no_file.stderr).contains("/nowhere.csv"));
}
