//! The state of the system after the run, read from everywhere it is visible.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use anyhow::{Context as _, Result};
use backon::{ConstantBuilder, Retryable as _};
use chrono::{DateTime, NaiveDate, Utc};
use contracts::{APPOINTMENT_EVENTS_TOPIC, BILLING_EVENTS_TOPIC};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde::Deserialize;
use serde_json::json;
use sqlx::PgPool;
use std::time::Duration;
use system_tests::{Answer, Clinic, DeadLetter, Patient, PatientRecord, Stack, Topic};
use uuid::Uuid;

use crate::{
    bookings::{Bookings, Desk},
    cashiers::{Books, Till},
    clients::Load,
    faults::{Happened, INJECTED, Injected, Stage},
    imports::{File, Shelf},
    merges::{Pair, Registry},
    requests::Log,
};

/// How many patients are read concurrently.
const AT_A_TIME: usize = 8;

/// How many receives from the dead-letter queue may find nothing of this run. Each one sees up to
/// ten letters of others, which reappear two seconds later.
const EMPTY_LOOKS: u32 = 10;

/// How often something happened on each day, by kind: `created`, an age band, …
pub(crate) type Counts = BTreeMap<NaiveDate, BTreeMap<String, i64>>;

/// What existed before the run.
pub(crate) struct Baseline {
    /// The end of each partition.
    pub(crate) topic: BTreeMap<i32, i64>,
    /// The same, of the topic of appointments.
    appointments: BTreeMap<i32, i64>,
    /// The same, of the topic of billing.
    billing: BTreeMap<i32, i64>,
    first_day: NaiveDate,
    patients: HashSet<Uuid>,
    accounts: HashSet<Uuid>,
    analytics: Counts,
}

/// The state after the run.
#[derive(Default)]
pub(crate) struct Observation {
    /// The topic's events in their order, without those that this program injected.
    pub(crate) records: Vec<PatientRecord>,
    /// The patients as returned by the API, or `None` for a 404.
    pub(crate) patients: HashMap<Uuid, Option<Patient>>,
    /// The version of every patient in the database.
    pub(crate) rows: HashMap<Uuid, i64>,
    /// The version and the kind of every entry in the history of each patient, in order.
    pub(crate) history: HashMap<Uuid, Vec<(i64, String)>>,
    /// How often each of these actions on a patient is recorded as succeeded: once for the first
    /// response, and once for each replay.
    pub(crate) on_record: HashMap<(Uuid, String), i64>,
    /// Whether the audit trail is intact.
    pub(crate) trail_is_intact: bool,
    /// The states of the billing accounts of each patient.
    pub(crate) accounts: HashMap<Uuid, Vec<String>>,
    /// What was added to the analytics.
    pub(crate) analytics: Counts,
    /// The states of the welcomes of each patient.
    pub(crate) notifications: HashMap<Uuid, Vec<String>>,
    /// When SES accepted welcomes to an address.
    pub(crate) mails: HashMap<String, Vec<DateTime<Utc>>>,
    /// What a sender of messages wrote about because it had no response in time, an event or an
    /// appointment, and when. SES may have accepted the message.
    pub(crate) timed_out: Vec<(String, DateTime<Utc>)>,
    /// What consumers set aside during this run.
    pub(crate) letters: Vec<DeadLetter>,
    pub(crate) injected: Vec<Injected>,
    /// What became of the bookings.
    pub(crate) bookings: Bookings,
    /// What became of the money.
    pub(crate) books: Books,
    /// The records that were made one, and two again.
    pub(crate) pairs: Vec<Pair>,
    /// The merges in the database.
    pub(crate) merges: Vec<Merge>,
    /// The files that were imported.
    pub(crate) files: Vec<File>,
    /// Whose import is in the audit trail.
    pub(crate) imported_on_record: HashSet<Uuid>,
    pub(crate) faults: Vec<Happened>,
    pub(crate) requests: Log,
}

/// A merge in the database.
#[derive(Debug, Clone, sqlx::FromRow)]
pub(crate) struct Merge {
    pub(crate) survivor: Uuid,
    pub(crate) is_undone: bool,
}

#[derive(Deserialize)]
struct Analytics {
    days: Vec<Day>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Day {
    date: NaiveDate,
    created: i64,
    updated: i64,
    deleted: i64,
    restored: i64,
    erased: i64,
    merged: i64,
    unmerged: i64,
    age_bands: BTreeMap<String, i64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Notifications {
    notifications: Vec<Notification>,
    next_cursor: Option<String>,
}

#[derive(Deserialize)]
struct Notification {
    kind: String,
    state: String,
}

impl Baseline {
    /// Reads the state before the run.
    ///
    /// # Errors
    /// If a part of the system cannot be read.
    pub(crate) async fn take(database: &PgPool, load: &Load) -> Result<Self> {
        let first_day = Utc::now().date_naive();
        Ok(Self {
            topic: Topic::listen().await.offsets(),
            appointments: Topic::open_named(APPOINTMENT_EVENTS_TOPIC, &BTreeMap::new())
                .await
                .offsets(),
            billing: Topic::open_named(BILLING_EVENTS_TOPIC, &BTreeMap::new())
                .await
                .offsets(),
            first_day,
            patients: rows(database).await?.into_keys().collect(),
            accounts: accounts(database).await?.into_keys().collect(),
            analytics: analytics(load, first_day).await?,
        })
    }
}

impl Observation {
    /// Reads the state after the run.
    ///
    /// # Errors
    /// If a part of the system cannot be read.
    pub(crate) async fn take(
        clinic: &Clinic,
        database: &PgPool,
        load: &Load,
        (desk, registry, shelf, till): (&Desk, &Registry, &Shelf, &Till),
        stage: &Stage,
        baseline: &Baseline,
    ) -> Result<Self> {
        let mut topic = Topic::open(&baseline.topic).await;
        let records = topic.records().await.iter();
        let records: Vec<_> = records
            .filter(|record| !record.headers.contains_key(INJECTED))
            .cloned()
            .collect();
        let heard_of = records.iter().filter_map(|record| record.key.parse().ok());
        let heard_of: BTreeSet<Uuid> = heard_of.collect();
        let changes = load.ledger.changes();
        let known = changes.iter().filter_map(|change| change.patient_id);
        let known: BTreeSet<Uuid> = known.chain(heard_of.iter().copied()).collect();

        let mut rows = rows(database).await?;
        rows.retain(|id, _| !baseline.patients.contains(id));
        let mut accounts = accounts(database).await?;
        accounts.retain(|id, _| !baseline.accounts.contains(id));
        let mut analytics = analytics(load, baseline.first_day).await?;
        subtract(&mut analytics, &baseline.analytics);
        let injected = stage.injected();
        Ok(Self {
            patients: patients(load, &known).await?,
            notifications: notifications(load, &heard_of).await?,
            mails: mails(clinic).await,
            timed_out: timed_out(clinic.stack()),
            history: history(database).await?,
            on_record: on_record(database).await?,
            trail_is_intact: trail_is_intact(clinic).await,
            letters: letters(
                clinic,
                &injected,
                known
                    .iter()
                    .chain(&desk.practice().patients)
                    .chain(&till.office().patients),
            )
            .await,
            pairs: registry.pairs(),
            merges: sqlx::query_as(
                "SELECT survivor_id AS survivor, undone_at IS NOT NULL AS is_undone
                 FROM patients.merge",
            )
            .fetch_all(database)
            .await?,
            files: shelf.files(),
            imported_on_record: imported_on_record(database).await?,
            bookings: Bookings::take(clinic, database, desk, &baseline.appointments).await?,
            books: Books::take(clinic, database, load, till, &baseline.billing).await?,
            records,
            rows,
            accounts,
            analytics,
            injected,
            faults: stage.happened(),
            requests: load.requests.log(),
        })
    }
}

async fn rows(database: &PgPool) -> Result<HashMap<Uuid, i64>> {
    let rows = sqlx::query_as("SELECT id, version FROM patients.patient WHERE deleted_at IS NULL");
    let rows: Vec<(Uuid, i64)> = rows.fetch_all(database).await?;
    Ok(rows.into_iter().collect())
}

async fn history(database: &PgPool) -> Result<HashMap<Uuid, Vec<(i64, String)>>> {
    let versions = sqlx::query_as(
        "SELECT patient_id, version, kind FROM patients.patient_version ORDER BY patient_id, version",
    );
    let versions: Vec<(Uuid, i64, String)> = versions.fetch_all(database).await?;
    let mut history: HashMap<Uuid, Vec<_>> = HashMap::new();
    for (patient_id, version, kind) in versions {
        history.entry(patient_id).or_default().push((version, kind));
    }
    Ok(history)
}

async fn on_record(database: &PgPool) -> Result<HashMap<(Uuid, String), i64>> {
    let records = sqlx::query_as(
        "SELECT patient_ids[1], action, count(*)
         FROM audit.record
         WHERE outcome = 'SUCCEEDED'
           AND action IN ('CREATE_PATIENT', 'UPDATE_PATIENT', 'DELETE_PATIENT', 'RESTORE_PATIENT',
                          'MERGE_PATIENTS', 'UNDO_MERGE')
           -- That the undoing of a merge was looked at once more is on record without the patients.
           AND cardinality(patient_ids) > 0
         GROUP BY patient_ids[1], action",
    );
    let records: Vec<(Uuid, String, i64)> = records.fetch_all(database).await?;
    let records = records.into_iter();
    Ok(records
        .map(|(patient, action, count)| ((patient, action), count))
        .collect())
}

async fn imported_on_record(database: &PgPool) -> Result<HashSet<Uuid>> {
    let patients = sqlx::query_scalar(
        "SELECT DISTINCT unnest(patient_ids) FROM audit.record
         WHERE outcome = 'SUCCEEDED' AND action = 'IMPORT_PATIENTS'",
    );
    Ok(patients.fetch_all(database).await?.into_iter().collect())
}

async fn trail_is_intact(clinic: &Clinic) -> bool {
    let invoked = clinic.aws().invoke("verify-audit-trail", &json!({})).await;
    invoked.payload["intact"] == json!(true)
}

async fn accounts(database: &PgPool) -> Result<HashMap<Uuid, Vec<String>>> {
    let accounts = sqlx::query_as(
        "SELECT patient_id, array_agg(status) FROM billing.account GROUP BY patient_id",
    );
    let accounts: Vec<(Uuid, Vec<String>)> = accounts.fetch_all(database).await?;
    Ok(accounts.into_iter().collect())
}

async fn analytics(load: &Load, from: NaiveDate) -> Result<Counts> {
    let path = format!(
        "/api/analytics/patients?from={from}&to={}",
        Utc::now().date_naive()
    );
    let analytics: Analytics = look_up(load, &path).await?.context("no analytics")?.read();
    let days = analytics.days.into_iter().map(|day| {
        let kinds = [
            ("created", day.created),
            ("updated", day.updated),
            ("deleted", day.deleted),
            ("restored", day.restored),
            ("erased", day.erased),
            ("merged", day.merged),
            ("unmerged", day.unmerged),
        ];
        let kinds = kinds
            .into_iter()
            .map(|(kind, count)| (kind.to_owned(), count));
        (day.date, kinds.chain(day.age_bands).collect())
    });
    Ok(days.collect())
}

fn subtract(counts: &mut Counts, before: &Counts) {
    for (day, before) in before {
        let counts = counts.entry(*day).or_default();
        for (kind, before) in before {
            *counts.entry(kind.clone()).or_default() -= before;
        }
    }
}

async fn patients(load: &Load, ids: &BTreeSet<Uuid>) -> Result<HashMap<Uuid, Option<Patient>>> {
    stream::iter(ids)
        .map(|id| async move {
            let answer = look_up(load, &format!("/api/patients/{id}")).await?;
            Ok((*id, answer.map(|answer| answer.read())))
        })
        .buffer_unordered(AT_A_TIME)
        .try_collect()
        .await
}

async fn notifications(load: &Load, ids: &BTreeSet<Uuid>) -> Result<HashMap<Uuid, Vec<String>>> {
    stream::iter(ids)
        .map(|id| async move {
            let first = format!("/api/notifications?patientId={id}&limit=100");
            let mut path = first.clone();
            let mut states = Vec::new();
            loop {
                let answer = look_up(load, &path).await?;
                let list: Notifications = answer.context("no notifications")?.read();
                let welcomes = list.notifications.into_iter();
                let welcomes = welcomes.filter(|notification| notification.kind == "WELCOME");
                states.extend(welcomes.map(|notification| notification.state));
                let Some(cursor) = list.next_cursor else {
                    return Ok((*id, states));
                };
                path = format!("{first}&cursor={cursor}");
            }
        })
        .buffer_unordered(AT_A_TIME)
        .try_collect()
        .await
}

/// The response, or `None` for a 404. After all the faults, a part of the system may need a second
/// attempt.
pub(crate) async fn look_up(load: &Load, path: &str) -> Result<Option<Answer>> {
    let attempts = ConstantBuilder::default()
        .with_delay(Duration::from_millis(500))
        .with_max_times(20);
    let attempt = || async {
        let answer = load.visitor().await.get(path).attempt().await?;
        match answer.status {
            200 => Ok(Some(answer)),
            404 => Ok(None),
            status => anyhow::bail!("GET {path} returned {status}"),
        }
    };
    attempt.retry(attempts).await
}

async fn mails(clinic: &Clinic) -> HashMap<String, Vec<DateTime<Utc>>> {
    let mut mails: HashMap<_, Vec<_>> = HashMap::new();
    let mails_of_all = clinic.aws().mails().await.into_iter();
    // The others are about appointments.
    for mail in mails_of_all.filter(|mail| !mail.whole().contains("BEGIN:VCALENDAR")) {
        for address in mail.destination.to_addresses {
            let sent = mail.timestamp.and_utc();
            mails.entry(address).or_default().push(sent);
        }
    }
    mails
}

fn timed_out(stack: &Stack) -> Vec<(String, DateTime<Utc>)> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Line {
        timestamp: DateTime<Utc>,
        event_id: Option<String>,
        appointment_id: Option<String>,
        cause: String,
    }
    let mut timed_out = Vec::new();
    for function in ["notify-patients", "send-due-messages"] {
        let file = format!("functions/{}.log", stack.function_name(function));
        let log = std::fs::read_to_string(stack.logs().join(file)).unwrap_or_default();
        let lines = log.lines();
        let lines = lines.filter_map(|line| serde_json::from_str::<Line>(line).ok());
        timed_out.extend(
            lines
                .filter(|line| line.cause.contains("timed out"))
                .filter_map(|line| Some((line.appointment_id.or(line.event_id)?, line.timestamp))),
        );
    }
    timed_out
}

/// The dead letters about injected records and about the patients.
async fn letters(
    clinic: &Clinic,
    injected: &[Injected],
    patients: impl Iterator<Item = &Uuid>,
) -> Vec<DeadLetter> {
    let injected = injected.iter().map(|injected| injected.key.clone());
    let ours: HashSet<_> = injected.chain(patients.map(Uuid::to_string)).collect();
    let mut letters = Vec::new();
    let mut empty_looks = 0;
    while empty_looks < EMPTY_LOOKS {
        let taken = clinic
            .aws()
            .take_dead_letters(|letter| letter.key_text().is_some_and(|key| ours.contains(&key)))
            .await;
        if taken.is_empty() {
            empty_looks += 1;
            tokio::time::sleep(Duration::from_millis(200)).await;
        } else {
            empty_looks = 0;
        }
        letters.extend(taken);
    }
    letters
}
