//! What counting events costs that wait: `make count-waiting` runs it. An argument changes how many
//! wait.
//!
//! The functions are called as by Lambda, for six partitions at the same time, on tables of their own.
//! Each kind of event is counted twice: one event per transaction and all on the same items, as it was
//! until November 2026, and in batches, each partition on its shards.

use std::{
    error::Error,
    fmt::Write as _,
    io::Write as _,
    time::{Duration, Instant},
};

use analytics::{
    count_appointment_events, count_billing_events,
    count_patient_events::{self, CountError},
};
use api::ClinicTimeZone;
use chrono::{TimeDelta, Utc};
use events::{
    Amount, Appointment, AppointmentChange, AppointmentEvent, Batch, BillingChange, BillingEvent,
    Change, Handled, Method, Patient, PatientEvent,
};
use futures::future::try_join_all;
use store::testing::{self, Wire};
use uuid::Uuid;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// How many events wait, where nothing else is said.
const EVENTS: usize = 3_000;

const PARTITIONS: usize = 6;

/// How many events Lambda hands over together.
const BATCH: usize = 100;

/// What an item costs in a transaction, in units of writing, if it has at most a kilobyte.
const UNITS: f64 = 2.0;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome<()> {
    let many = match std::env::args().nth(1) {
        Some(many) => many.parse()?,
        None => EVENTS,
    };
    let clinic = ClinicTimeZone::UTC;
    let mut said = String::new();
    writeln!(
        said,
        "| {many} events | | events/s | transactions | writes per event | a million events |"
    )?;
    writeln!(said, "|---|---|---:|---:|---:|---:|")?;
    for ways in [Way::OneByOne, Way::InBatches] {
        let patients = of_partitions(many, registration);
        let name = "patients, each registered";
        measure(name, ways, &patients, &mut said, async |table, batch| {
            count_patient_events::count(table, clinic, batch).await
        })
        .await?;
        let payments = of_partitions(many, payment);
        let name = "payments";
        measure(name, ways, &payments, &mut said, async |table, batch| {
            count_billing_events::count(table, batch).await
        })
        .await?;
        let bookings = of_partitions(many, booking);
        let name = "appointments, each booked";
        measure(name, ways, &bookings, &mut said, async |table, batch| {
            count_appointment_events::count(table, clinic, batch).await
        })
        .await?;
    }
    std::io::stdout().write_all(said.as_bytes())?;
    Ok(())
}

#[derive(Clone, Copy)]
enum Way {
    OneByOne,
    InBatches,
}

/// Counts what waits on some partitions, and says what that cost.
async fn measure<E>(
    name: &str,
    way: Way,
    partitions: &[Vec<E>],
    said: &mut String,
    count: impl AsyncFn(&store::Table, Batch<'_, E>) -> Handled<CountError>,
) -> Outcome<()> {
    let (table, wire) = testing::wired_table().await;
    let (how, most) = match way {
        Way::OneByOne => ("one by one", 1),
        Way::InBatches => ("in batches", BATCH),
    };
    let (table, count) = (&table, &count);
    let begun = Instant::now();
    let counted = (0..).zip(partitions).map(|(number, events)| async move {
        for batch in events.chunks(most) {
            let shard = match way {
                Way::OneByOne => 0,
                Way::InBatches => number,
            };
            let handled = count(table, Batch::of(shard, batch)).await;
            if let Some(failure) = handled.failure {
                return Err(failure);
            }
        }
        Ok(())
    });
    try_join_all(counted).await?;
    let many = partitions.iter().map(Vec::len).sum();
    row(said, (name, how), many, begun.elapsed(), &wire)
}

fn row(
    said: &mut String,
    (name, how): (&str, &str),
    many: usize,
    took: Duration,
    wire: &Wire,
) -> Outcome<()> {
    let number = |number: usize| u32::try_from(number).map(f64::from);
    let many = number(many)?;
    let speed = many / took.as_secs_f64();
    let writes = number(wire.items())? / many;
    let reads = number(wire.items_read())? / many;
    let prices: serde_json::Value =
        serde_json::from_str(include_str!("../../../infrastructure/prices.json"))?;
    let price = |of: &str| {
        let price = &prices["prices"][of];
        price.as_f64().ok_or_else(|| format!("no price of {of}"))
    };
    let dollars = writes * UNITS * price("DynamoDB, million writes")?
        + reads * price("DynamoDB, million reads")?;
    writeln!(
        said,
        "| {name} | {how} | {speed:.0} | {} | {writes:.2} | ${dollars:.2} |",
        wire.transactions(),
    )?;
    Ok(())
}

fn of_partitions<E>(many: usize, event: impl Fn(usize) -> E) -> Vec<Vec<E>> {
    let partition = |number| {
        let events = (number..many).step_by(PARTITIONS);
        events.map(&event).collect()
    };
    (0..PARTITIONS).map(partition).collect()
}

fn registration(_: usize) -> PatientEvent {
    PatientEvent {
        id: Uuid::now_v7(),
        occurred_at: Utc::now(),
        patient_id: Uuid::now_v7(),
        patient_version: 1,
        change: Change::Created(Patient {
            name: "Milo Feil".to_owned(),
            email: Some("milo@clinic.example".to_owned()),
            address: Some("422 Farrell Path".to_owned()),
            date_of_birth: "1983-11-14".parse().unwrap_or_default(),
            registered_date: "2024-05-01".parse().unwrap_or_default(),
        }),
    }
}

fn payment(_: usize) -> BillingEvent {
    BillingEvent {
        id: Uuid::now_v7(),
        occurred_at: Utc::now(),
        patient_id: Uuid::now_v7(),
        business_date: Utc::now().date_naive(),
        change: BillingChange::PaymentRecorded {
            payment: Uuid::now_v7(),
            amount: Amount {
                currency: "EUR".to_owned(),
                minor_units: 5_000,
            },
            method: Method::Card,
        },
    }
}

/// One of the next four weeks, for one of ten clinicians.
fn booking(number: usize) -> AppointmentEvent {
    let now = Utc::now();
    let hours = i64::try_from(number % (28 * 8)).unwrap_or_default();
    let starts_at = now + TimeDelta::days(hours / 8) + TimeDelta::hours(hours % 8);
    let clinician = Uuid::from_u128(u128::try_from(number % 10).unwrap_or_default());
    AppointmentEvent {
        id: Uuid::now_v7(),
        occurred_at: now,
        appointment_id: Uuid::now_v7(),
        appointment_version: 1,
        patient_id: Uuid::now_v7(),
        appointment: Appointment {
            service_id: Uuid::nil(),
            service_code: "CONSULT-30".to_owned(),
            location_id: Uuid::nil(),
            resource_ids: vec![clinician],
            clinician_ids: vec![clinician],
            starts_at,
            ends_at: starts_at + TimeDelta::minutes(30),
            time_zone: "Etc/UTC".to_owned(),
            local_start: starts_at.naive_utc(),
            sequence: 0,
            created_at: now,
            reminder_minutes: Vec::new(),
        },
        change: AppointmentChange::Booked,
    }
}
