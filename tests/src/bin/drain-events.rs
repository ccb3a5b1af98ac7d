//! `drain-events`: how fast the consumers of patient events work through what waits for them.
//!
//! The consumers are stopped, events are put on the topic, and all consumers are started at once.
//! Each event is of a patient of its own, which is what costs most.
//!
//! Run it with `local-stack run`: the stack keeps the events.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    io::Write as _,
    time::{Duration, Instant},
};

use anyhow::ensure;
use chrono::Utc;
use clap::Parser;
use comfy_table::{Table, presets::ASCII_MARKDOWN};
use console::Term;
use contracts::{
    PATIENT_EVENTS_TOPIC,
    patient::v1::{Patient, PatientCreated, PatientEvent, patient_event::Change},
};
use futures::future::join_all;
use prost::Message as _;
use rskafka::record::Record;
use system_tests::{Clinic, NewPatient, Topic, committed_offsets};
use uuid::Uuid;

/// Who consumes the events of patients and writes to DynamoDB.
const CONSUMERS: [&str; 2] = ["count-patient-events", "notify-patients"];

/// How often the progress is read. Offsets are committed every 100 ms.
const LOOK: Duration = Duration::from_millis(50);

/// How long no event may be consumed.
const PATIENCE: Duration = Duration::from_mins(2);

/// Measure how fast waiting events are consumed
#[derive(Parser)]
#[command(name = "drain-events", version)]
struct Arguments {
    /// The number of events
    #[arg(long, default_value_t = 3_000, value_parser = clap::value_parser!(u32).range(100..=1_000_000))]
    events: u32,
    /// How many of a hundred registrations are with a welcome message
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(0..=100))]
    welcome: u32,
}

/// How a consumer got on.
#[derive(Default)]
struct Progress {
    /// When the first events had been consumed since all were started, and how many.
    first: Option<(Duration, i64)>,
    last: Duration,
    consumed: i64,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let clinic = Clinic::alone();
    let topic = Topic::listen().await;
    let before = topic.offsets();
    for consumer in CONSUMERS {
        let aws = clinic.aws();
        aws.enable_event_source_mapping(consumer, false).await;
    }
    let mut waiting: BTreeMap<i32, Vec<Record>> = BTreeMap::new();
    let partitions: Vec<i32> = before.keys().copied().collect();
    for (number, partition) in (0..arguments.events).zip(partitions.iter().cycle()) {
        let welcome = number % 100 < arguments.welcome;
        let records = waiting.entry(*partition).or_default();
        records.push(registration(welcome));
    }
    for (partition, records) in waiting {
        for records in records.chunks(500) {
            topic.send_all(partition, records.to_vec()).await;
        }
    }

    let started = Instant::now();
    let start = CONSUMERS.map(async |consumer| {
        let aws = clinic.aws();
        aws.enable_event_source_mapping(consumer, true).await;
    });
    let follow = CONSUMERS.map(|consumer| {
        let all = i64::from(arguments.events);
        follow(&clinic, consumer, &before, all, started)
    });
    let (_, followed) = futures::join!(join_all(start), join_all(follow));

    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN);
    table.set_header([
        "consumer",
        "events",
        "s until the first were consumed",
        "s until all were",
        "events/s in between",
    ]);
    for (consumer, progress) in CONSUMERS.into_iter().zip(followed) {
        let progress = progress?;
        let (first, early) = progress.first.unwrap_or_default();
        let rest = i32::try_from(progress.consumed - early)?;
        let speed = f64::from(rest) / progress.last.saturating_sub(first).as_secs_f64();
        table.add_row([
            consumer.to_owned(),
            progress.consumed.to_string(),
            format!("{:.1}", first.as_secs_f64()),
            format!("{:.1}", progress.last.as_secs_f64()),
            format!("{speed:.0}"),
        ]);
    }
    let mut said = String::new();
    writeln!(
        said,
        "{} events on {} partitions, {} % of them with a welcome message\n\n{table}",
        arguments.events,
        partitions.len(),
        arguments.welcome
    )?;
    Term::stdout().write_all(said.as_bytes())?;
    Ok(())
}

/// A record of a new patient.
fn registration(welcome: bool) -> Record {
    let new = NewPatient::unique();
    let id = Uuid::now_v7().to_string();
    let now = Utc::now();
    let event = PatientEvent {
        event_id: Uuid::now_v7().to_string(),
        occurred_at: Some(prost_types::Timestamp {
            seconds: now.timestamp(),
            nanos: 0,
        }),
        patient_id: id.clone(),
        patient_version: 1,
        change: Some(Change::Created(PatientCreated {
            patient: Some(Patient {
                name: new.name,
                email: new.email,
                address: new.address,
                date_of_birth: new.date_of_birth,
                registered_date: "2020-01-01".to_owned(),
            }),
            without_welcome: !welcome,
        })),
    };
    Record {
        key: Some(id.into_bytes()),
        value: Some(event.encode_to_vec()),
        headers: BTreeMap::new(),
        timestamp: now,
    }
}

/// Waits until a consumer has consumed this many events from these offsets on.
async fn follow(
    clinic: &Clinic,
    consumer: &str,
    before: &BTreeMap<i32, i64>,
    all: i64,
    started: Instant,
) -> anyhow::Result<Progress> {
    let mut progress = Progress::default();
    while progress.consumed < all {
        let offsets = committed_offsets(
            clinic.stack(),
            consumer,
            PATIENT_EVENTS_TOPIC,
            before.keys().copied(),
        )
        .await?;
        let done = before.iter().map(|(partition, before)| {
            let offset = offsets.get(partition).copied().unwrap_or_default();
            (offset - before).max(0)
        });
        let done = done.sum();
        let now = started.elapsed();
        if done > progress.consumed {
            progress.first.get_or_insert((now, done));
            (progress.consumed, progress.last) = (done, now);
        }
        let idle = now.saturating_sub(progress.last);
        ensure!(idle < PATIENCE, "{consumer} stopped at {done}");
        tokio::time::sleep(LOOK).await;
    }
    Ok(progress)
}
