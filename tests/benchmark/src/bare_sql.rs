//! The SQL of the measured requests, with nothing around it: on one connection of a pool like that
//! of the functions, prepared once, its rows read into typed values.

use std::time::{Duration, Instant};

use anyhow::Result;
use chrono::{DateTime, NaiveDate, Utc};
use contracts::billing::v1::CreateBillingAccountRequest;
use events::{Change, PatientEvent};
use prost::Message as _;
use sqlx::{Acquire as _, PgPool, Postgres, pool::PoolConnection};
use uuid::Uuid;

use crate::patients::NewPatient;

type Row = (
    Uuid,
    i64,
    String,
    String,
    String,
    NaiveDate,
    NaiveDate,
    DateTime<Utc>,
    DateTime<Utc>,
);

const SELECT_PATIENT: &str = "
    SELECT id, version, name, email, address, date_of_birth, registered_date,
           created_at, updated_at
    FROM patients.patient
    WHERE id = $1";

const SELECT_PAGE: &str = "
    SELECT id, version, name, email, address, date_of_birth, registered_date,
           created_at, updated_at
    FROM patients.patient
    ORDER BY id
    LIMIT $1";

const INSERT_PATIENT: &str = "
    INSERT INTO patients.patient
        (id, version, name, email, address, date_of_birth, registered_date)
    VALUES ($1, 1, $2, $3, $4, $5, $6)
    RETURNING id, version, name, email, address, date_of_birth, registered_date,
              created_at, updated_at";

const INSERT_OUTBOX: &str = "
    INSERT INTO patients.outbox (patient_id, message_id, kind, payload, traceparent)
    VALUES ($1, $2, $3, $4, '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01')";

/// Writing the audit record is part of the request's SQL.
const APPEND_RECORD: &str = "
    SELECT audit.append($1, NULL, NULL, $2, 'SUCCEEDED', NULL, $3::uuid[], NULL, NULL,
                        '127.0.0.1', 'benchmark')";

/// What the server shows as the name of these connections.
pub(crate) const APPLICATION: &str = "benchmark";

/// A description of [`BareSql::get`].
pub(crate) const GET: &str = "SELECT one patient by primary key, append to the audit trail";
/// A description of [`BareSql::create`].
pub(crate) const CREATE: &str = "BEGIN, INSERT patient RETURNING, 2 x INSERT outbox, append to the audit trail, COMMIT; nothing delivered";

/// A connection, and the patients that it has inserted.
#[derive(Debug)]
pub(crate) struct BareSql {
    connection: PoolConnection<Postgres>,
    patients: Vec<Uuid>,
}

impl BareSql {
    /// Connects to `DATABASE_URL`.
    ///
    /// # Errors
    /// If that fails.
    pub(crate) async fn connect() -> Result<Self> {
        Self::connect_to(&store::pool(APPLICATION)?).await
    }

    /// Connects to this database.
    ///
    /// # Errors
    /// If that fails.
    pub(crate) async fn connect_to(database: &PgPool) -> Result<Self> {
        Ok(Self {
            connection: database.acquire().await?,
            patients: Vec::new(),
        })
    }

    /// The id of the server's process behind the connection.
    ///
    /// # Errors
    /// If the database fails.
    pub(crate) async fn backend(&mut self) -> Result<u32> {
        let backend: i32 = sqlx::query_scalar("SELECT pg_backend_pid()")
            .fetch_one(&mut *self.connection)
            .await?;
        Ok(backend.try_into()?)
    }

    /// Reads a page of patients, one more than it shows. Returns how long it took.
    ///
    /// # Errors
    /// If there are fewer, or the database fails.
    pub(crate) async fn list(&mut self, size: usize) -> Result<Duration> {
        let begin = Instant::now();
        let mut patients: Vec<Row> = sqlx::query_as(SELECT_PAGE)
            .bind(i64::try_from(size + 1)?)
            .fetch_all(&mut *self.connection)
            .await?;
        patients.truncate(size);
        let ids: Vec<Uuid> = patients.iter().map(|patient| patient.0).collect();
        sqlx::query(APPEND_RECORD)
            .bind(Uuid::now_v7())
            .bind("LIST_PATIENTS")
            .bind(&ids)
            .execute(&mut *self.connection)
            .await?;
        let duration = begin.elapsed();
        anyhow::ensure!(ids.len() == size, "only {} patients were read", ids.len());
        Ok(duration)
    }

    /// Reads a patient. Returns how long it took.
    ///
    /// # Errors
    /// If there is none, or the database fails.
    pub(crate) async fn get(&mut self, id: Uuid) -> Result<Duration> {
        let begin = Instant::now();
        let patient: Row = sqlx::query_as(SELECT_PATIENT)
            .bind(id)
            .fetch_one(&mut *self.connection)
            .await?;
        sqlx::query(APPEND_RECORD)
            .bind(Uuid::now_v7())
            .bind("READ_PATIENT")
            .bind([id])
            .execute(&mut *self.connection)
            .await?;
        let duration = begin.elapsed();
        // Uses the row, so that the compiler cannot optimise it away.
        anyhow::ensure!(patient.0 == id, "the wrong patient was read");
        Ok(duration)
    }

    /// Inserts a patient and two outbox messages. Returns the patient's id and the time it took.
    /// The messages are deleted again: this patient must not be announced.
    ///
    /// # Errors
    /// If the database fails.
    pub(crate) async fn create(&mut self, patient: &NewPatient) -> Result<(Uuid, Duration)> {
        let (id, duration) = self.insert(patient).await?;
        sqlx::query("DELETE FROM patients.outbox WHERE patient_id = $1")
            .bind(id)
            .execute(&mut *self.connection)
            .await?;
        Ok((id, duration))
    }

    /// As [`BareSql::create`], but leaves the messages there.
    ///
    /// # Errors
    /// If the database fails.
    pub(crate) async fn insert(&mut self, patient: &NewPatient) -> Result<(Uuid, Duration)> {
        let id = Uuid::now_v7();
        let event_id = Uuid::now_v7();
        // Valid messages, in case a relay runs at this moment.
        let messages = [
            (
                Uuid::now_v7(),
                "BILLING_ACCOUNT",
                account_request(id, patient),
            ),
            (event_id, "PATIENT_EVENT", event(event_id, id, patient)),
        ];

        let begin = Instant::now();
        let mut transaction = self.connection.begin().await?;
        let stored: Row = sqlx::query_as(INSERT_PATIENT)
            .bind(id)
            .bind(&patient.name)
            .bind(&patient.email)
            .bind(&patient.address)
            .bind(patient.date_of_birth)
            .bind(patient.registered_date)
            .fetch_one(&mut *transaction)
            .await?;
        for (message_id, kind, payload) in &messages {
            sqlx::query(INSERT_OUTBOX)
                .bind(id)
                .bind(message_id)
                .bind(kind)
                .bind(payload)
                .execute(&mut *transaction)
                .await?;
        }
        sqlx::query(APPEND_RECORD)
            .bind(Uuid::now_v7())
            .bind("CREATE_PATIENT")
            .bind([id])
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        let duration = begin.elapsed();

        anyhow::ensure!(stored.0 == id, "the wrong patient was stored");
        self.patients.push(id);
        Ok((id, duration))
    }

    /// How many of these patients still have messages in the outbox.
    ///
    /// # Errors
    /// If the database fails.
    pub(crate) async fn undelivered(&mut self, patients: &[Uuid]) -> Result<i64> {
        let sql = "SELECT count(DISTINCT patient_id) FROM patients.outbox
                   WHERE patient_id = ANY($1)";
        Ok(sqlx::query_scalar(sql)
            .bind(patients)
            .fetch_one(&mut *self.connection)
            .await?)
    }

    /// Removes the patients that this connection has inserted.
    ///
    /// # Errors
    /// If the database fails.
    pub(crate) async fn clean_up(mut self) -> Result<()> {
        sqlx::query("DELETE FROM patients.patient WHERE id = ANY($1)")
            .bind(&self.patients)
            .execute(&mut *self.connection)
            .await?;
        Ok(())
    }
}

fn account_request(id: Uuid, patient: &NewPatient) -> Vec<u8> {
    CreateBillingAccountRequest {
        patient_id: id.to_string(),
        name: patient.name.clone(),
        email: patient.email.clone(),
        address: String::new(),
    }
    .encode_to_vec()
}

fn event(event_id: Uuid, id: Uuid, patient: &NewPatient) -> Vec<u8> {
    PatientEvent {
        id: event_id,
        occurred_at: Utc::now(),
        patient_id: id,
        patient_version: 1,
        change: Change::Created(events::Patient {
            name: patient.name.clone(),
            email: Some(patient.email.clone()),
            address: Some(patient.address.clone()),
            date_of_birth: patient.date_of_birth,
            registered_date: patient.registered_date,
        }),
    }
    .encode()
}
