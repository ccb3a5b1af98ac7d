//! `GET /api/availability` for as long as one can ask for, beside the same queries alone.

use std::{
    fmt,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use bytes::Bytes;
use chrono::{DateTime, Days, NaiveDate, NaiveTime, TimeDelta, Utc};
use serde_json::{Value, json};
use sqlx::{Acquire as _, Postgres, pool::PoolConnection, postgres::types::PgRange};
use uuid::Uuid;

use super::clinic::{Clinic, DAYS};
use crate::{
    Options,
    figures::LatencyFigures,
    latency::{Measured, Pair, rounds},
    memory::sample_event,
    statistics::Comparison,
    subject::Subject,
};

/// The target, as a multiple of the SQL.
const AIM: f64 = 3.0;

/// A description of [`bare_sql`].
const COMPARED_WITH: &str = "BEGIN, the service, the clinicians, their hours, exceptions, closures, absences and occupancy, ROLLBACK";

const SERVICE: &str = "
    SELECT id, version, code, name, duration_minutes, buffer_after_minutes, grid_minutes,
           notice_minutes, horizon_days, capacity, resource_kinds, reminder_minutes, created_at
    FROM appointments.service WHERE id = $1";

const RESOURCES: &str = "
    SELECT resource.id, number, resource.version, kind, location_id, time_zone
    FROM appointments.resource
    JOIN appointments.location ON location.id = location_id
    WHERE kind = ANY($1) AND location_id = $2
    ORDER BY number";

const HOURS: &str = "
    SELECT resource_id, valid_from, windows FROM appointments.hours
    WHERE resource_id = ANY($1) AND valid_from <= $2
    ORDER BY valid_from DESC";

const EXCEPTIONS: &str = "
    SELECT resource_id, day, windows FROM appointments.day_exception
    WHERE resource_id = ANY($1) AND day BETWEEN $2 AND $3";

const CLOSURES: &str = "
    SELECT location_id, day FROM appointments.closure
    WHERE location_id = $1 AND day BETWEEN $2 AND $3";

const ABSENCES: &str = "
    SELECT resource_id, starts_at, ends_at FROM appointments.absence
    WHERE resource_id = ANY($1) AND ends_at > $2 AND starts_at < $3";

const OCCUPANCY: &str = "
    SELECT resource_number, appointment_id, service_id, lower(seats), upper(seats),
           lower(during), upper(during)
    FROM appointments.occupancy
    WHERE resource_number = ANY($1) AND upper(during) > $2 AND lower(during) < $3
    ORDER BY lower(during)";

type ServiceRow = (
    Uuid,
    i64,
    String,
    String,
    i32,
    i32,
    i32,
    i32,
    i32,
    i32,
    Vec<String>,
    Vec<i32>,
    DateTime<Utc>,
);
type ResourceRow = (Uuid, i32, i64, String, Uuid, String);
type WindowsRow = (Uuid, NaiveDate, Vec<PgRange<i32>>);
type OccupancyRow = (i32, Uuid, Uuid, i32, i32, DateTime<Utc>, DateTime<Utc>);

/// Whose free slots are asked for.
#[derive(Debug)]
pub(super) struct Wish<'a> {
    clinic: &'a Clinic,
    /// None for all of the clinic.
    clinician: Option<Uuid>,
}

impl<'a> Wish<'a> {
    /// Those of one clinician, and of all fifty.
    pub(super) fn all(clinic: &'a Clinic) -> [Self; 2] {
        [clinic.clinicians.first().copied(), None].map(|clinician| Self { clinic, clinician })
    }

    fn days(&self) -> (NaiveDate, NaiveDate) {
        let first = self.clinic.first_day;
        (first, first + Days::new(DAYS - 1))
    }

    /// The sample event, with this wish.
    fn event(&self) -> Result<Bytes> {
        let mut event: Value = serde_json::from_slice(&sample_event("find-availability")?)?;
        let (from, to) = self.days();
        let mut parameters = json!({
            "serviceId": self.clinic.consultation,
            "locationId": self.clinic.location,
            "from": from,
            "to": to,
        });
        if let Some(clinician) = self.clinician {
            parameters["resourceId"] = json!(clinician);
        }
        if let Some(single) = parameters.as_object() {
            let lists = single
                .iter()
                .map(|(name, value)| (name.clone(), json!([value])));
            event["multiValueQueryStringParameters"] = Value::Object(lists.collect());
        }
        event["queryStringParameters"] = parameters;
        Ok(event.to_string().into())
    }

    /// The queries that the slots are computed from, with what they read as typed values.
    async fn bare_sql(&self, connection: &mut PoolConnection<Postgres>) -> Result<Duration> {
        let (first, last) = self.days();
        let (first, last) = (first - Days::new(1), last + Days::new(2));
        let begins = first.and_time(NaiveTime::MIN).and_utc() - TimeDelta::days(1);
        let ends = last.and_time(NaiveTime::MIN).and_utc() + TimeDelta::days(2);
        let location = self.clinic.location;

        let begin = Instant::now();
        let mut transaction = connection.begin().await?;
        let service: ServiceRow = sqlx::query_as(SERVICE)
            .bind(self.clinic.consultation)
            .fetch_one(&mut *transaction)
            .await?;
        let mut resources: Vec<ResourceRow> = sqlx::query_as(RESOURCES)
            .bind(&service.10)
            .bind(location)
            .fetch_all(&mut *transaction)
            .await?;
        if let Some(clinician) = self.clinician {
            resources.retain(|resource| resource.0 == clinician);
        }
        let ids: Vec<Uuid> = resources.iter().map(|resource| resource.0).collect();
        let numbers: Vec<i32> = resources.iter().map(|resource| resource.1).collect();
        let hours: Vec<WindowsRow> = sqlx::query_as(HOURS)
            .bind(&ids)
            .bind(last)
            .fetch_all(&mut *transaction)
            .await?;
        let _: Vec<WindowsRow> = sqlx::query_as(EXCEPTIONS)
            .bind(&ids)
            .bind(first)
            .bind(last)
            .fetch_all(&mut *transaction)
            .await?;
        let _: Vec<(Uuid, NaiveDate)> = sqlx::query_as(CLOSURES)
            .bind(location)
            .bind(first)
            .bind(last)
            .fetch_all(&mut *transaction)
            .await?;
        let _: Vec<(Uuid, DateTime<Utc>, DateTime<Utc>)> = sqlx::query_as(ABSENCES)
            .bind(&ids)
            .bind(begins)
            .bind(ends)
            .fetch_all(&mut *transaction)
            .await?;
        let occupancy: Vec<OccupancyRow> = sqlx::query_as(OCCUPANCY)
            .bind(&numbers)
            .bind(begins)
            .bind(ends)
            .fetch_all(&mut *transaction)
            .await?;
        transaction.rollback().await?;
        let duration = begin.elapsed();

        ensure!(
            hours.len() == ids.len() && occupancy.len() >= ids.len(),
            "the clinic was not read"
        );
        Ok(duration)
    }
}

impl fmt::Display for Wish<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let clinicians = self.clinician.map_or(self.clinic.clinicians.len(), |_| 1);
        write!(f, "find-availability of {clinicians}, {DAYS} days")
    }
}

/// Measures warm requests, alternating with the SQL.
///
/// # Errors
/// If the function or the database fails.
pub(super) async fn measure(
    wish: &Wish<'_>,
    function: &Subject,
    bare: &Subject,
    options: &Options,
) -> Result<LatencyFigures> {
    let event = wish.event()?;
    let mut connection = wish.clinic.database.acquire().await?;
    let mut pair = Pair::start(function, bare).await?;
    let mut measured = Measured::new()?;
    for counted in rounds(options) {
        let (body, requests) = pair.invoke(event.clone()).await?;
        ensure!(slots(&body)? > 0, "there are no slots");
        let sql = wish.bare_sql(&mut connection).await?;
        if counted {
            measured.record(requests, sql)?;
        }
    }
    Ok(LatencyFigures {
        request: Comparison::of(&measured.requests, &measured.sql),
        busy: measured.busy.summary(),
        bare_request: measured.bare_requests.summary(),
        compared_with: COMPARED_WITH,
        aim: Some(AIM),
        peak_memory_bytes: pair.function.peak_memory()?,
        undelivered: None,
    })
}

/// The number of slots in a response.
fn slots(answer: &[u8]) -> Result<usize> {
    let answer: Value = serde_json::from_slice(answer)?;
    ensure!(answer["statusCode"] == 200, "expected 200: {answer}");
    let body: Value = serde_json::from_str(answer["body"].as_str().unwrap_or_default())?;
    Ok(body["slots"].as_array().map_or(0, Vec::len))
}
