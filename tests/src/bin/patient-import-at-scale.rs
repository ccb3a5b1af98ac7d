//! `patient-import-at-scale`: imports a large file of patients into the running stack, and writes as
//! many rows straight into the tables of another database.
//!
//! The import may take at most five times as long as the rows alone, with memory that does not grow
//! with the file; and a list of patients that somebody else asks for meanwhile is measured, too.
//!
//! With `--kills`, the function is killed that often while it imports. Then the time has no bound, but
//! every line must still have become one patient, with one version, and one record in the trail.
//!
//! Run it with `local-stack exec` or `run`: the stack keeps the patients, the other database is
//! dropped afterwards.

use std::{
    collections::{BTreeMap, HashSet},
    fmt::Write as _,
    fs,
    io::Write as _,
    iter,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use chrono::{DateTime, Utc};
use clap::Parser;
use comfy_table::{Table, presets::ASCII_MARKDOWN};
use console::Term;
use identity::Role;
use schemas::{Service, together};
use serde::Deserialize;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, PgPool, postgres::PgConnectOptions};
use system_tests::{
    Clinic, GIVEN_NAMES, Process, SURNAMES, Visitor, given_name_of_somebody, invented_names,
    surname_of_somebody,
};
use uuid::Uuid;

/// How many rows are written in one transaction, as the import does.
const BATCH: usize = 1_000;

/// How many patients one entry of the audit trail is about, as in the import.
const ON_RECORD: usize = 100;

/// How many times as long as the rows alone the import may take.
const MOST: f64 = 5.0;

/// How often the import is asked how far it is, and somebody asks for a list.
const PAUSE: Duration = Duration::from_millis(200);

/// How long one login is used: less than its token is valid, for what is killed takes minutes.
const ONE_LOGIN: Duration = Duration::from_mins(10);

/// Measure an import of many patients
#[derive(Parser)]
#[command(name = "patient-import-at-scale", version)]
struct Arguments {
    /// The number of patients in the file
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1_000..=100_000))]
    patients: u32,
    /// How often the function is killed while it imports
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(..=100))]
    kills: u32,
    /// The database server, with a role that may create databases
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    database: PgConnectOptions,
}

/// How long an import took, and what it did to others.
struct Imported {
    id: Uuid,
    seconds: f64,
    kills: u32,
    peak_bytes: Option<u64>,
    /// How long lists took while it ran, in milliseconds.
    lists: Vec<f64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Started {
    id: Uuid,
    upload_url: String,
    upload_headers: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Standing {
    state: String,
    processed: u32,
    created: u32,
    refusal: Option<String>,
    started_at: Option<DateTime<Utc>>,
    finished_at: Option<DateTime<Utc>>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let people = people(arguments.patients);

    let mut server = PgConnection::connect_with(&arguments.database).await?;
    let name = format!("import_at_scale_{}", Uuid::now_v7().simple());
    execute(&mut server, format!("CREATE DATABASE {name}")).await?;
    let straight = straight(arguments.database.clone().database(&name), &people).await;
    execute(&mut server, format!("DROP DATABASE {name} WITH (FORCE)")).await?;
    let straight = straight?;

    let clinic = Clinic::alone();
    let visitor = clinic.log_in(Role::Admin).await;
    let mut idle = Vec::new();
    for _ in 0..50 {
        idle.push(list(&visitor).await?);
    }
    let imported = import(&clinic, &visitor, &people, arguments.kills).await?;
    let stored = stored(&mut server, &people, imported.id).await?;

    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN);
    table.set_header(["", "s", "patients/s"]);
    let mut row = |what: &str, seconds: f64| {
        let speed = f64::from(arguments.patients) / seconds;
        table.add_row([
            what.to_owned(),
            format!("{seconds:.1}"),
            format!("{speed:.0}"),
        ]);
    };
    row("rows written straight into the tables", straight);
    row("import", imported.seconds);
    let mut said = format!("{table}\n\n");
    let times = imported.seconds / straight;
    writeln!(said, "The import took {times:.1} times as long.")?;
    if let Some(bytes) = imported.peak_bytes {
        writeln!(
            said,
            "Its function had {} MB at most.",
            bytes.div_ceil(1_000_000)
        )?;
    }
    writeln!(
        said,
        "A list of patients took {:.0} ms (p95 {:.0}) before, {:.0} ms (p95 {:.0}) meanwhile.",
        percentile(&mut idle.clone(), 50),
        percentile(&mut idle, 95),
        percentile(&mut imported.lists.clone(), 50),
        percentile(&mut imported.lists.clone(), 95),
    )?;
    writeln!(
        said,
        "Its function was killed {} times. {} patients of the file are stored, in {} versions; {} are on record.",
        imported.kills, stored.patients, stored.versions, stored.on_record,
    )?;
    Term::stdout().write_all(said.as_bytes())?;
    let all = i64::from(arguments.patients);
    let expected = Stored {
        patients: all,
        versions: all,
        on_record: all,
    };
    ensure!(stored == expected, "a line is not one patient");
    ensure!(imported.kills == arguments.kills, "it ended too early");
    ensure!(
        arguments.kills > 0 || times <= MOST,
        "the import took more than {MOST} times as long"
    );
    Ok(())
}

/// Patients with mailboxes that nobody else has, and names as frequent as those of people. No two of the
/// same name were born on the same day: they would be one.
fn people(number: u32) -> Vec<Value> {
    let run = Uuid::new_v4().simple().to_string();
    let run = &run[..8];
    let names = invented_names(SURNAMES + GIVEN_NAMES, &[]);
    let (surnames, given_names) = names.split_at(SURNAMES);
    let somebody = || {
        let given = &given_names[given_name_of_somebody()];
        let name = format!("{given} {}", surnames[surname_of_somebody()]);
        let born = (
            fastrand::u32(1930..2020),
            fastrand::u32(1..=12),
            fastrand::u32(1..=28),
        );
        (name, format!("{}-{:02}-{:02}", born.0, born.1, born.2))
    };
    let mut taken = HashSet::new();
    let different = iter::repeat_with(somebody).filter(|who| taken.insert(who.clone()));
    let people = (1..=number).zip(different);
    let person = |(n, (name, born))| {
        json!({
            "name": name,
            "email": format!("p{n}.{run}@synthea.example"),
            "address": format!("{n} Farrell Path Unit 69, Somerville, Massachusetts 02143"),
            "dateOfBirth": born,
            "registeredDate": "2025-06-01",
        })
    };
    people.map(person).collect()
}

/// Writes the rows of as many patients in batches, and nothing else. Returns how many seconds that
/// took.
async fn straight(options: PgConnectOptions, people: &[Value]) -> anyhow::Result<f64> {
    let database = PgPool::connect_with(options).await?;
    together([Service::Patients, Service::Audit, Service::Auth])
        .run(&database)
        .await?;
    let begun = Instant::now();
    for batch in people.chunks(BATCH) {
        write(&database, batch).await?;
    }
    let seconds = begun.elapsed().as_secs_f64();
    database.close().await;
    Ok(seconds)
}

async fn write(database: &PgPool, batch: &[Value]) -> anyhow::Result<()> {
    let ids: Vec<Uuid> = batch.iter().map(|_| Uuid::now_v7()).collect();
    let texts = |field: &str| -> Vec<String> {
        let texts = batch.iter().map(|person| person[field].as_str());
        texts
            .map(|text| text.unwrap_or_default().to_owned())
            .collect()
    };
    let mut transaction = database.begin().await?;
    sqlx::query(
        "INSERT INTO patients.patient
             (id, version, name, email, address, date_of_birth, registered_date)
         SELECT id, 1, name, email, address, born::date, '2025-06-01'
         FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[])
             AS made (id, name, email, address, born)",
    )
    .bind(&ids)
    .bind(texts("name"))
    .bind(texts("email"))
    .bind(texts("address"))
    .bind(texts("dateOfBirth"))
    .execute(&mut *transaction)
    .await?;
    let snapshots: Vec<String> = batch.iter().map(Value::to_string).collect();
    sqlx::query(
        "INSERT INTO patients.patient_version (patient_id, version, kind, snapshot, at)
         SELECT id, 1, 'CREATE', snapshot::jsonb, now()
         FROM unnest($1::uuid[], $2::text[]) AS made (id, snapshot)",
    )
    .bind(&ids)
    .bind(&snapshots)
    .execute(&mut *transaction)
    .await?;
    for kind in ["BILLING_ACCOUNT", "PATIENT_EVENT"] {
        sqlx::query(
            "INSERT INTO patients.outbox (patient_id, message_id, kind, payload, traceparent)
             SELECT id, gen_random_uuid(), $3, payload::bytea, ''
             FROM unnest($1::uuid[], $2::text[]) AS made (id, payload)",
        )
        .bind(&ids)
        .bind(texts("address"))
        .bind(kind)
        .execute(&mut *transaction)
        .await?;
    }
    for about in ids.chunks(ON_RECORD) {
        sqlx::query(
            "SELECT audit.append($1, NULL, NULL, 'IMPORT_PATIENTS', 'SUCCEEDED', NULL, $2, NULL,
                                 NULL, NULL, NULL)",
        )
        .bind(Uuid::now_v7())
        .bind(about)
        .execute(&mut *transaction)
        .await?;
    }
    transaction.commit().await?;
    Ok(())
}

/// What became of the file.
#[derive(PartialEq, Eq)]
struct Stored {
    patients: i64,
    versions: i64,
    on_record: i64,
}

/// Counts what became of these people, however often some of it was begun.
async fn stored(
    database: &mut PgConnection,
    people: &[Value],
    import: Uuid,
) -> anyhow::Result<Stored> {
    let emails: Vec<&str> = people
        .iter()
        .filter_map(|who| who["email"].as_str())
        .collect();
    let (patients, versions, on_record) = sqlx::query_as(
        "WITH imported AS (SELECT id FROM patients.patient WHERE email = ANY($1)),
              recorded AS (SELECT unnest(patient_ids) AS id FROM audit.record
                           WHERE action = 'IMPORT_PATIENTS' AND outcome = 'SUCCEEDED'
                               AND resource_id = $2)
         SELECT (SELECT count(*) FROM imported),
                (SELECT count(*) FROM patients.patient_version
                 WHERE patient_id IN (SELECT id FROM imported)),
                (SELECT count(*) FROM recorded WHERE id IN (SELECT id FROM imported))",
    )
    .bind(&emails)
    .bind(import)
    .fetch_one(database)
    .await?;
    Ok(Stored {
        patients,
        versions,
        on_record,
    })
}

/// Has the stack import the file, and kills its function that often meanwhile.
async fn import(
    clinic: &Clinic,
    visitor: &Visitor,
    people: &[Value],
    kills: u32,
) -> anyhow::Result<Imported> {
    let mut file = Vec::new();
    for person in people {
        serde_json::to_writer(&mut file, person)?;
        file.push(b'\n');
    }
    let wanted = json!({ "format": "NDJSON", "contentLength": file.len(), "welcome": false });
    let started = visitor.post("/api/patients/imports").json(&wanted);
    let started: Started = started.answers(202).await.read();
    let mut upload = system_tests::http_client()
        .build()?
        .put(&started.upload_url);
    for (name, value) in &started.upload_headers {
        upload = upload.header(name, value);
    }
    upload.body(file).send().await?.error_for_status()?;

    let path = format!("/api/patients/imports/{}", started.id);
    let (mut visitor, mut logged_in) = (clinic.log_in(Role::Admin).await, Instant::now());
    let mut imported = Imported {
        id: started.id,
        seconds: 0.0,
        kills: 0,
        peak_bytes: None,
        lists: Vec::new(),
    };
    loop {
        if logged_in.elapsed() > ONE_LOGIN {
            (visitor, logged_in) = (clinic.log_in(Role::Admin).await, Instant::now());
        }
        let standing: Standing = visitor.get(&path).answers(200).await.read();
        match standing.state.as_str() {
            "COMPLETED" => {
                let all = usize::try_from(standing.created)? == people.len();
                ensure!(all, "{} patients were created", standing.created);
                let ended = standing.finished_at.zip(standing.started_at);
                let (ended, begun) = ended.context("an import without its times")?;
                imported.seconds = (ended - begun).as_seconds_f64();
                return Ok(imported);
            }
            "AWAITING_UPLOAD" | "RUNNING" => {}
            state => anyhow::bail!("{state}: {}", standing.refusal.unwrap_or_default()),
        }
        let share = u64::try_from(people.len())? * u64::from(imported.kills + 1);
        if imported.kills < kills && u64::from(standing.processed) * u64::from(kills + 1) >= share {
            for process in Process::of_function(clinic.stack(), "run-imports") {
                process.kill().await;
            }
            imported.kills += 1;
        }
        imported.lists.push(list(&visitor).await?);
        imported.peak_bytes = imported.peak_bytes.max(peak_memory(clinic));
        tokio::time::sleep(PAUSE).await;
    }
}

/// How long the first page of all patients takes, in milliseconds.
async fn list(visitor: &Visitor) -> anyhow::Result<f64> {
    let begun = Instant::now();
    let answer = visitor.get("/api/patients?limit=20").attempt().await?;
    ensure!(answer.status == 200, "the list returned {}", answer.status);
    Ok(begun.elapsed().as_secs_f64() * 1000.0)
}

/// The most memory that a process of the function had so far, in bytes.
fn peak_memory(clinic: &Clinic) -> Option<u64> {
    let processes = Process::of_function(clinic.stack(), "run-imports");
    let peaks = processes.into_iter().filter_map(|process| {
        let status = fs::read_to_string(format!("/proc/{}/status", process.number())).ok()?;
        let (_, rest) = status.split_once("VmHWM:")?;
        let kibibytes: u64 = rest.split_whitespace().next()?.parse().ok()?;
        Some(kibibytes * 1024)
    });
    peaks.max()
}

fn percentile(times: &mut [f64], percent: usize) -> f64 {
    times.sort_by(f64::total_cmp);
    let place = (times.len() * percent).div_ceil(100).saturating_sub(1);
    times.get(place).copied().unwrap_or_default()
}

async fn execute(connection: &mut PgConnection, sql: String) -> Result<(), sqlx::Error> {
    let sql = AssertSqlSafe(sql);
    sqlx::raw_sql(sql).execute(connection).await?;
    Ok(())
}
