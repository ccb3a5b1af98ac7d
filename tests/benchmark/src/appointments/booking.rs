//! `POST /api/appointments` by a hundred clients at once who all want the same day of the same
//! clinician, beside pgbench writing the same rows.

use std::{fs, path::Path, process::Stdio, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use bytes::Bytes;
use chrono::{DateTime, Days, NaiveDate, Utc};
use futures::future::try_join_all;
use serde_json::{Value, json};
use tokio::process::Command;
use uuid::Uuid;

use super::clinic::{self, Clinic, DAYS, PATIENTS, SLOTS_A_DAY};
use crate::{
    build,
    environment::Environment,
    figures::BookingFigures,
    memory::sample_event,
    processor_time::{self, ProcessorTime},
    statistics::Durations,
    subject::Subject,
};

/// On how many days, one after another, everybody wants to be seen.
const ROUNDS: u32 = 10;
/// A client: a patient, and an environment that handles their requests.
struct Client<'a> {
    clinic: &'a Clinic,
    environment: &'a mut Environment,
    patient: Uuid,
    number: usize,
}

/// What a client was told until a slot was theirs.
struct Answers {
    durations: Vec<Duration>,
    /// How many slots were taken by others meanwhile.
    conflicts: u32,
    /// The start of the slot.
    slot: DateTime<Utc>,
}

/// Measures bookings and the rows that they write.
///
/// # Errors
/// If a request is neither granted nor refused for a conflict, or pgbench fails.
pub(super) async fn measure(clinic: &Clinic, function: &Subject) -> Result<BookingFigures> {
    let mut environments = Vec::new();
    for _ in 0..PATIENTS {
        environments.push(Environment::start(function).await?.0);
    }
    let first = clinic.first_day + Days::new(DAYS);
    // A booking that does not count, one after another: cold starts are measured elsewhere.
    for client in clients(clinic, &mut environments) {
        client.book(first).await?;
    }
    let mut latency = Durations::new()?;
    let (mut ours, mut refusals) = (ProcessorTime::default(), ProcessorTime::default());
    let mut conflicts = 0;
    for day in first.iter_days().skip(1).take(ROUNDS as usize) {
        let before = used_so_far(clinic, function, &environments).await?;
        let answers = everybody_books(clinic, &mut environments, day).await?;
        let between = used_so_far(clinic, function, &environments).await?;
        ours += between - before;
        everybody_is_refused(clinic, &mut environments, &answers).await?;
        refusals += used_so_far(clinic, function, &environments).await? - between;
        for answers in answers {
            conflicts += answers.conflicts;
            for duration in answers.durations {
                latency.record(duration)?;
            }
        }
    }
    drop(environments);
    let bare = bare_inserts(clinic, first).await?;
    let bookings = u32::try_from(PATIENTS)? * ROUNDS;
    let each = |time: Duration| time.as_secs_f64() * 1000.0 / f64::from(bookings);
    Ok(BookingFigures {
        clients: PATIENTS,
        bookings,
        conflicts,
        request: latency.summary(),
        function_processor_time: each(ours.client),
        database_processor_time: each(ours.database),
        bare_processor_time: each(bare.total()),
        // As many as bookings.
        refusal_function_processor_time: each(refusals.client),
        refusal_database_processor_time: each(refusals.database),
        ratio: each(ours.total()) / each(bare.total()),
    })
}

async fn used_so_far(
    clinic: &Clinic,
    function: &Subject,
    environments: &[Environment],
) -> Result<ProcessorTime> {
    processor_time::of_functions(environments, &function.binary, &clinic.database).await
}

/// Lets all clients book a slot of this day at the same time.
async fn everybody_books(
    clinic: &Clinic,
    environments: &mut [Environment],
    day: NaiveDate,
) -> Result<Vec<Answers>> {
    try_join_all(clients(clinic, environments).map(|client| client.book(day))).await
}

/// Lets all clients ask at the same time for the slot that they have, which each of them is refused before
/// they wait for anybody.
async fn everybody_is_refused(
    clinic: &Clinic,
    environments: &mut [Environment],
    answers: &[Answers],
) -> Result<()> {
    let clients = clients(clinic, environments).zip(answers);
    try_join_all(clients.map(|(client, answers)| client.ask_again(answers.slot))).await?;
    Ok(())
}

fn clients<'a>(
    clinic: &'a Clinic,
    environments: &'a mut [Environment],
) -> impl Iterator<Item = Client<'a>> {
    let pairs = environments.iter_mut().zip(&clinic.patients);
    pairs
        .enumerate()
        .map(|(number, (environment, patient))| Client {
            clinic,
            environment,
            patient: *patient,
            number,
        })
}

impl Client<'_> {
    /// Tries one slot of the day after another until one is free. All clients go through them in
    /// orders of their own, so that some of them meet.
    async fn book(self, day: NaiveDate) -> Result<Answers> {
        /// Prime to the number of slots.
        const STRIDES: [usize; 2] = [37, 41];
        let (mut durations, mut conflicts) = (Vec::new(), 0);
        // Two clients begin with the same slot.
        let (first, stride) = (self.number / 2, STRIDES[self.number % 2]);
        for attempt in 0..SLOTS_A_DAY {
            let slot = (first + attempt * stride) % SLOTS_A_DAY;
            let slot = clinic::slot(day, slot);
            let answer = self.environment.invoke(self.event(slot)?).await?;
            durations.push(answer.duration);
            match status(&answer.body)? {
                201 => {
                    return Ok(Answers {
                        durations,
                        conflicts,
                        slot,
                    });
                }
                409 => conflicts += 1,
                _ => bail!(
                    "neither booked nor refused: {}",
                    String::from_utf8_lossy(&answer.body)
                ),
            }
        }
        bail!("no slot was free")
    }

    /// Asks for a slot that is taken.
    async fn ask_again(self, slot: DateTime<Utc>) -> Result<()> {
        let answer = self.environment.invoke(self.event(slot)?).await?;
        ensure!(status(&answer.body)? == 409, "a slot was booked twice");
        Ok(())
    }

    fn event(&self, start: DateTime<Utc>) -> Result<Bytes> {
        let mut event: Value = serde_json::from_slice(&sample_event("book-appointment")?)?;
        let body = json!({
            "patientId": self.patient,
            "serviceId": self.clinic.vaccination,
            "resourceIds": [self.clinic.clinicians.first()],
            "start": start,
        });
        event["body"] = json!(body.to_string());
        Ok(event.to_string().into())
    }
}

fn status(answer: &[u8]) -> Result<u64> {
    let answer: Value = serde_json::from_slice(answer)?;
    answer["statusCode"]
        .as_u64()
        .with_context(|| format!("not an HTTP response: {answer}"))
}

/// What pgbench and the database use for the same rows, without what they use to connect and for the first
/// booking on each connection: that of the functions does not count either. The lowest of several: the
/// database does other things besides, such as vacuuming.
async fn bare_inserts(clinic: &Clinic, first: NaiveDate) -> Result<ProcessorTime> {
    const TIMES: u32 = 3;
    let mut free = first.iter_days().step_by(1 + ROUNDS as usize);
    let (mut connecting, mut all) = (Vec::new(), Vec::new());
    for day in free.by_ref().take(TIMES as usize) {
        connecting.push(pgbench(clinic, day, 1).await?);
    }
    for day in free.take(TIMES as usize) {
        all.push(pgbench(clinic, day, 1 + ROUNDS).await?);
    }
    let written: i64 = sqlx::query_scalar(
        "WITH kept AS (DELETE FROM appointments.outbox WHERE not_before = 'infinity' RETURNING 1)
         SELECT count(*) FROM kept",
    )
    .fetch_one(&clinic.database)
    .await?;
    ensure!(
        written == i64::from(TIMES * (2 + ROUNDS)) * i64::try_from(PATIENTS)?,
        "pgbench wrote {written} bookings"
    );
    let lowest = |used: Vec<ProcessorTime>| used.into_iter().min_by_key(|used| used.total());
    let (all, connecting) = lowest(all).zip(lowest(connecting)).context("no figures")?;
    Ok(all - connecting)
}

/// Lets pgbench write a booking on each of so many days, from the first one, on each of its connections.
async fn pgbench(clinic: &Clinic, first: NaiveDate, days: u32) -> Result<ProcessorTime> {
    let file = build::folder().join("pgbench.sql");
    fs::write(&file, include_str!("booking.sql"))?;
    quiet(clinic).await?;
    let before = processor_time::of_ended_children(&clinic.database).await?;
    let clients = PATIENTS.to_string();
    let clinician = clinic.clinicians.last().context("there is no clinician")?;
    let mut command = Command::new(program(clinic).await?);
    command
        .args(["--no-vacuum", "--protocol=prepared", "--client", &clients])
        .args(["--transactions", &days.to_string(), "--file"])
        .arg(&file);
    for (name, value) in [
        ("day", "-1".to_owned()),
        ("first_day", first.to_string()),
        ("service", clinic.vaccination.to_string()),
        ("location", clinic.location.to_string()),
        ("clinician", clinician.to_string()),
    ] {
        command.arg("--define").arg(format!("{name}={value}"));
    }
    let database = std::env::var("DATABASE_URL").context("DATABASE_URL is not set")?;
    let output = command
        .arg(database)
        .stdin(Stdio::null())
        .output()
        .await
        .context("cannot run pgbench, which is a part of PostgreSQL's clients")?;
    ensure!(
        output.status.success(),
        "pgbench failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    quiet(clinic).await?;
    Ok(processor_time::of_ended_children(&clinic.database).await? - before)
}

/// Waits until the database has nothing to do, so that what it uses is for pgbench.
async fn quiet(clinic: &Clinic) -> Result<()> {
    const WINDOW: Duration = Duration::from_millis(200);
    const IDLE: Duration = Duration::from_millis(4);
    const WINDOWS: u32 = 300;
    for _ in 0..WINDOWS {
        let before = processor_time::of_ended_children(&clinic.database).await?;
        tokio::time::sleep(WINDOW).await;
        let used = processor_time::of_ended_children(&clinic.database).await? - before;
        if used.database <= IDLE {
            return Ok(());
        }
    }
    bail!("the database is busy with something else")
}

/// Beside the server's own programs or, if these are without it, on the path.
async fn program(clinic: &Clinic) -> Result<String> {
    let folder: String = sqlx::query_scalar("SELECT setting FROM pg_config WHERE name = 'BINDIR'")
        .fetch_one(&clinic.database)
        .await?;
    let beside = format!("{folder}/pgbench");
    Ok(if Path::new(&beside).exists() {
        beside
    } else {
        "pgbench".to_owned()
    })
}
