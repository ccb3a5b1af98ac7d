//! Warm requests through the runtime API, alternating with the bare SQL and with the same requests
//! to the bare function.

use std::time::Duration;

use anyhow::{Result, ensure};
use bytes::Bytes;
use uuid::Uuid;

use crate::{
    Options,
    bare_sql::{self, BareSql},
    environment::Environment,
    figures::{AIM_GET, LatencyFigures},
    patients::{NewPatient, answered, create_event, get_event},
    report::Report,
    say,
    statistics::{Comparison, Durations},
    subject::{Subject, Subjects},
};

/// The number of patients that the reads are spread over.
const PATIENTS_TO_READ: usize = 200;

/// Measures a reading and a writing route, if they were chosen.
///
/// # Errors
/// If there is no database.
pub(crate) async fn measure(
    subjects: &Subjects,
    options: &Options,
    report: &mut Report,
) -> Result<()> {
    if let Some(function) = subjects.function("get-patient") {
        say("get-patient: warm requests")?;
        let mut sql = BareSql::connect().await?;
        let figures = get_patient(function, &subjects.bare, &mut sql, options).await;
        sql.clean_up().await?;
        report.latency(&function.binary, figures);
    }
    if let Some(function) = subjects.function("create-patient") {
        say("create-patient: warm requests")?;
        let mut sql = BareSql::connect().await?;
        let figures = create_patient(function, &subjects.bare, &mut sql, options).await;
        sql.clean_up().await?;
        report.latency(&function.binary, figures);
    }
    Ok(())
}

async fn get_patient(
    function: &Subject,
    bare: &Subject,
    sql: &mut BareSql,
    options: &Options,
) -> Result<LatencyFigures> {
    let mut patients = Vec::new();
    for _ in 0..PATIENTS_TO_READ {
        patients.push(sql.create(&NewPatient::fresh()).await?.0);
    }
    let mut pair = Pair::start(function, bare).await?;
    let mut measured = Measured::new()?;
    for (counted, id) in rounds(options).zip(patients.iter().cycle()) {
        let (body, requests) = pair.invoke(get_event(*id)?).await?;
        ensure!(
            answered(&body, 200)? == *id,
            "the wrong patient was returned"
        );
        let sql = sql.get(*id).await?;
        if counted {
            measured.record(requests, sql)?;
        }
    }
    Ok(LatencyFigures {
        request: Comparison::of(&measured.requests, &measured.sql),
        busy: measured.busy.summary(),
        bare_request: measured.bare_requests.summary(),
        compared_with: bare_sql::GET,
        aim: Some(AIM_GET),
        peak_memory_bytes: pair.function.peak_memory()?,
        undelivered: None,
    })
}

async fn create_patient(
    function: &Subject,
    bare: &Subject,
    sql: &mut BareSql,
    options: &Options,
) -> Result<LatencyFigures> {
    let mut pair = Pair::start(function, bare).await?;
    let mut measured = Measured::new()?;
    let mut created: Vec<Uuid> = Vec::new();
    for counted in rounds(options) {
        let (body, requests) = pair.invoke(create_event(&NewPatient::fresh())?).await?;
        created.push(answered(&body, 201)?);
        let (_, sql) = sql.create(&NewPatient::fresh()).await?;
        if counted {
            measured.record(requests, sql)?;
        }
    }
    Ok(LatencyFigures {
        request: Comparison::of(&measured.requests, &measured.sql),
        busy: measured.busy.summary(),
        bare_request: measured.bare_requests.summary(),
        compared_with: bare_sql::CREATE,
        aim: None,
        peak_memory_bytes: pair.function.peak_memory()?,
        undelivered: Some(sql.undelivered(&created).await?),
    })
}

/// The function and the bare one, both warm.
#[derive(Debug)]
pub(crate) struct Pair {
    /// The measured one.
    pub(crate) function: Environment,
    bare: Environment,
}

/// How long the same request took with both.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Requests {
    ours: Duration,
    /// Until the function was ready for the next.
    busy: Duration,
    bare: Duration,
}

impl Pair {
    /// Starts them.
    ///
    /// # Errors
    /// If one does not start.
    pub(crate) async fn start(function: &Subject, bare: &Subject) -> Result<Self> {
        Ok(Self {
            function: Environment::start(function).await?.0,
            bare: Environment::start(bare).await?.0,
        })
    }

    /// Lets both handle the event, one after the other. Also returns the function's response.
    ///
    /// # Errors
    /// If one does not respond.
    pub(crate) async fn invoke(&mut self, event: Bytes) -> Result<(Bytes, Requests)> {
        let bare = self.bare.invoke(event.clone()).await?;
        self.bare.ready().await?;
        let ours = self.function.invoke(event).await?;
        // What a function does after its response must not affect the next measurement.
        let ready = self.function.ready().await?;
        let requests = Requests {
            ours: ours.duration,
            busy: ready - ours.begin,
            bare: bare.duration,
        };
        Ok((ours.body, requests))
    }
}

/// What was measured in all rounds.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) requests: Durations,
    pub(crate) busy: Durations,
    pub(crate) bare_requests: Durations,
    pub(crate) sql: Durations,
}

impl Measured {
    /// Nothing yet.
    ///
    /// # Errors
    /// Never.
    pub(crate) fn new() -> Result<Self> {
        Ok(Self {
            requests: Durations::new()?,
            busy: Durations::new()?,
            bare_requests: Durations::new()?,
            sql: Durations::new()?,
        })
    }

    /// Adds a round.
    ///
    /// # Errors
    /// If something took longer than five hundred years.
    pub(crate) fn record(&mut self, requests: Requests, sql: Duration) -> Result<()> {
        self.requests.record(requests.ours)?;
        self.busy.record(requests.busy)?;
        self.bare_requests.record(requests.bare)?;
        self.sql.record(sql)
    }
}

/// For each round, whether it counts: the first ones only warm up.
pub(crate) fn rounds(options: &Options) -> impl Iterator<Item = bool> {
    let warm_up = (options.iterations / 10).max(1);
    (0..warm_up)
        .map(|_| false)
        .chain((0..options.iterations).map(|_| true))
}
