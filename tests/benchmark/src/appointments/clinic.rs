//! A clinic with clinicians, patients and a month of appointments.

use anyhow::Result;
use chrono::{DateTime, Days, NaiveDate, NaiveTime, TimeDelta, Utc};
use sqlx::PgPool;
use uuid::Uuid;

/// The number of clinicians.
const CLINICIANS: usize = 50;
/// The number of days with appointments: the most that availability can be asked for.
pub(super) const DAYS: u64 = 31;
/// How many patients there are, each of whom books for themselves.
pub(super) const PATIENTS: usize = 100;
/// The clinicians are there on every day, from eight to six: 120 slots of five minutes.
const OPENS: TimeDelta = TimeDelta::hours(8);
pub(super) const SLOTS_A_DAY: usize = 120;

/// The ids of what was set up.
#[derive(Debug)]
pub(super) struct Clinic {
    pub(super) database: PgPool,
    pub(super) location: Uuid,
    /// Takes half an hour.
    pub(super) consultation: Uuid,
    /// Takes five minutes.
    pub(super) vaccination: Uuid,
    pub(super) clinicians: Vec<Uuid>,
    pub(super) patients: Vec<Uuid>,
    /// The first day with appointments.
    pub(super) first_day: NaiveDate,
}

/// The start of one of the short slots on a day.
pub(super) fn slot(day: NaiveDate, slot: usize) -> DateTime<Utc> {
    let minutes = i64::try_from(slot).unwrap_or_default() * 5;
    day.and_time(NaiveTime::MIN).and_utc() + OPENS + TimeDelta::minutes(minutes)
}

impl Clinic {
    /// A clinic of its own, in a zone without clock changes. Every other half hour of every clinician
    /// is booked for [`DAYS`] days; the time after that is free.
    ///
    /// # Errors
    /// If the database fails.
    pub(super) async fn set_up() -> Result<Self> {
        let database = store::pool("benchmark")?;
        let ids = |number| (0..number).map(|_| Uuid::now_v7()).collect::<Vec<_>>();
        let clinic = Self {
            database,
            location: Uuid::now_v7(),
            consultation: Uuid::now_v7(),
            vaccination: Uuid::now_v7(),
            clinicians: ids(CLINICIANS),
            patients: ids(PATIENTS),
            first_day: Utc::now().date_naive() + Days::new(1),
        };
        clinic.store_schedule().await?;
        clinic.store_patients().await?;
        clinic.store_appointments().await?;
        Ok(clinic)
    }

    async fn store_schedule(&self) -> Result<()> {
        sqlx::query(
            "WITH location AS (
                 INSERT INTO appointments.location (id, name, time_zone)
                 VALUES ($1, 'Benchmark', 'Africa/Nairobi')
             ), clinician AS (
                 INSERT INTO appointments.resource (id, kind, name, location_id)
                 SELECT id, 'CLINICIAN', 'Clinician', $1 FROM unnest($2::uuid[]) AS id
             ), hours AS (
                 INSERT INTO appointments.hours (resource_id, valid_from, windows)
                 SELECT id, '2020-01-01',
                        ARRAY(SELECT int4range(day * 1440 + 660, day * 1440 + 1260)
                              FROM generate_series(0, 6) AS day)
                 FROM unnest($2::uuid[]) AS id
             )
             INSERT INTO appointments.service
                 (id, code, name, duration_minutes, buffer_after_minutes, grid_minutes,
                  notice_minutes, horizon_days, capacity, resource_kinds, reminder_minutes)
             SELECT id, left(replace(id::text, '-', ''), 32), 'Benchmark', minutes, 0, minutes,
                    0, 365, 1, ARRAY['CLINICIAN'], ARRAY[]::integer[]
             FROM (VALUES ($3::uuid, 30), ($4::uuid, 5)) AS service (id, minutes)",
        )
        .bind(self.location)
        .bind(&self.clinicians)
        .bind(self.consultation)
        .bind(self.vaccination)
        .execute(&self.database)
        .await?;
        Ok(())
    }

    async fn store_patients(&self) -> Result<()> {
        sqlx::query(
            "INSERT INTO patients.patient
                 (id, version, name, email, address, date_of_birth, registered_date)
             SELECT id, 1, 'Milo Feil', id || '@benchmark.example', '422 Farrell Path',
                    '1983-11-14', '2026-01-01'
             FROM unnest($1::uuid[]) AS id",
        )
        .bind(&self.patients)
        .execute(&self.database)
        .await?;
        Ok(())
    }

    async fn store_appointments(&self) -> Result<()> {
        sqlx::query(
            "WITH clinician AS (
                 SELECT id, number FROM appointments.resource WHERE location_id = $1
             ), appointment AS (
                 INSERT INTO appointments.appointment
                     (id, version, patient_id, service_id, location_id, resource_ids, status,
                      starts_at, ends_at, time_zone, local_start, zone_data)
                 SELECT gen_random_uuid(), 1, gen_random_uuid(), $2, $1, ARRAY[clinician.id],
                        'BOOKED', start, start + interval '30 minutes', 'Africa/Nairobi',
                        (start + interval '3 hours') AT TIME ZONE 'UTC', 'benchmark'
                 FROM clinician, generate_series(0, $4::integer - 1) AS day,
                      generate_series(0, 9) AS hour,
                      LATERAL (SELECT $3::timestamptz + day * interval '1 day'
                                      + (8 + hour) * interval '1 hour') AS slot (start)
                 RETURNING id, resource_ids, starts_at, ends_at
             )
             INSERT INTO appointments.occupancy
                 (appointment_id, resource_number, service_id, seats, during)
             SELECT appointment.id, number, $2, '[1,1001)', tstzrange(starts_at, ends_at, '[)')
             FROM appointment JOIN clinician ON clinician.id = resource_ids[1]",
        )
        .bind(self.location)
        .bind(self.consultation)
        .bind(self.first_day.and_time(NaiveTime::MIN).and_utc())
        .bind(i32::try_from(DAYS)?)
        .execute(&self.database)
        .await?;
        sqlx::raw_sql("ANALYZE appointments.occupancy, appointments.appointment")
            .execute(&self.database)
            .await?;
        Ok(())
    }
}
