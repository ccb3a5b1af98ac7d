//! The outbox of a service.

use std::marker::PhantomData;

use chrono::{DateTime, Utc};
use sqlx::{AssertSqlSafe, PgPool};
use store::Transaction;
use telemetry::TraceContext;
use uuid::Uuid;

use crate::{Kind, kind::names_for};

/// How many seconds after a rejection a message is retried. The delay doubles each time, up to the
/// longest, minus a random part of up to one half, so that messages that were rejected together are
/// not retried together.
const REFUSED_FOR: f64 = 60.0;

/// The longest delay, in seconds: how long a message may have to wait after its receiver has been
/// repaired.
const REFUSED_FOR_AT_MOST: f64 = 1800.0;

/// For how many seconds a patient is skipped whose delivery failed in the database.
const FAILED_FOR: f64 = 60.0;

/// A message that was rejected this often will not get through without help.
const STUCK_AFTER: i32 = 5;

/// Writes a message about this patient to the outbox.
///
/// # Errors
/// If the database fails.
pub async fn write<K: Kind>(
    transaction: &mut Transaction,
    patient_id: Uuid,
    message_id: Uuid,
    kind: K,
    payload: Vec<u8>,
) -> Result<(), sqlx::Error> {
    let statement = format!(
        "INSERT INTO {}.outbox (patient_id, message_id, kind, payload, traceparent)
         VALUES ($1, $2, $3, $4, $5)",
        K::SCHEMA
    );
    sqlx::query(AssertSqlSafe(statement))
        .bind(patient_id)
        .bind(message_id)
        .bind(kind.name())
        .bind(payload)
        .bind(TraceContext::current().next_step().to_string())
        .execute(transaction)
        .await?;
    Ok(())
}

/// Writes messages about many patients to the outbox, in this order.
///
/// # Errors
/// If the database fails.
pub async fn write_all<K: Kind>(
    transaction: &mut Transaction,
    messages: impl IntoIterator<Item = (Uuid, Uuid, K, Vec<u8>)>,
) -> Result<(), sqlx::Error> {
    let (mut patients, mut ids, mut kinds, mut payloads) = (vec![], vec![], vec![], vec![]);
    for (patient, id, kind, payload) in messages {
        patients.push(patient);
        ids.push(id);
        kinds.push(kind.name());
        payloads.push(payload);
    }
    let statement = format!(
        "INSERT INTO {}.outbox (patient_id, message_id, kind, payload, traceparent)
         SELECT patient_id, message_id, kind, payload, $5
         FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::bytea[]) WITH ORDINALITY
             AS message (patient_id, message_id, kind, payload, place)
         ORDER BY place",
        K::SCHEMA
    );
    sqlx::query(AssertSqlSafe(statement))
        .bind(patients)
        .bind(ids)
        .bind(kinds)
        .bind(payloads)
        .bind(TraceContext::current().next_step().to_string())
        .execute(transaction)
        .await?;
    Ok(())
}

/// The outbox with these kinds of messages. The name of its schema is a constant in the service's
/// code, so formatting it into a statement is safe.
pub(crate) struct Outbox<K>(PhantomData<K>);

/// A message that waits to be delivered.
#[derive(sqlx::FromRow)]
pub(crate) struct Waiting {
    pub(crate) sequence: i64,
    pub(crate) message_id: Uuid,
    pub(crate) kind: String,
    pub(crate) payload: Vec<u8>,
    pub(crate) traceparent: String,
    due: bool,
}

#[cfg(test)]
impl Waiting {
    /// One that is due.
    pub(crate) fn of(sequence: i64, kind: &str, payload: &[u8]) -> Self {
        Self {
            sequence,
            message_id: Uuid::now_v7(),
            kind: kind.to_owned(),
            payload: payload.to_owned(),
            traceparent: String::new(),
            due: true,
        }
    }
}

/// The first message of a patient.
#[derive(sqlx::FromRow)]
pub(crate) struct Head {
    pub(crate) patient_id: Uuid,
    sequence: i64,
    since: DateTime<Utc>,
}

/// A place in a queue: since when a patient has been waiting and, within the same moment, the
/// message's sequence number.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place(DateTime<Utc>, i64);

impl Place {
    /// Ahead of everybody.
    pub(crate) const FIRST: Self = Self(DateTime::UNIX_EPOCH, 0);
}

impl Head {
    pub(crate) const fn place(&self) -> Place {
        Place(self.since, self.sequence)
    }
}

/// What is left in the outbox.
#[derive(sqlx::FromRow)]
pub(crate) struct Left {
    pub(crate) length: i64,
    /// How many messages have been rejected again and again.
    pub(crate) stuck: i64,
    /// For how many seconds the oldest message has been waiting.
    pub(crate) age: f64,
}

impl<K: Kind> Outbox<K> {
    /// The patient's next messages in order, at most this many; none while the first of them waits
    /// to be retried.
    pub(crate) async fn due(
        transaction: &mut Transaction,
        patient_id: Uuid,
        limit: usize,
    ) -> Result<Vec<Waiting>, sqlx::Error> {
        let statement = format!(
            "SELECT sequence, message_id, kind, payload, traceparent,
                    not_before <= clock_timestamp() AS due
             FROM {}.outbox
             WHERE patient_id = $1
             ORDER BY sequence
             LIMIT $2",
            K::SCHEMA
        );
        let messages: Vec<Waiting> = sqlx::query_as(AssertSqlSafe(statement))
            .bind(patient_id)
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .fetch_all(transaction)
            .await?;
        let first_is_due = messages.first().is_some_and(|first| first.due);
        Ok(if first_is_due { messages } else { Vec::new() })
    }

    /// Deletes messages that have been delivered, in a transaction that writes nothing else. Nobody
    /// waits until that is on disk: if the server fails in the moment after the commit, the messages
    /// are there again and are delivered twice, as if this process had failed in the moment before.
    pub(crate) async fn delete_alone(
        transaction: &mut Transaction,
        sequences: &[i64],
    ) -> Result<(), sqlx::Error> {
        let statement = format!(
            "WITH setting AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true))
             DELETE FROM {}.outbox USING setting WHERE sequence = ANY($1)",
            K::SCHEMA
        );
        sqlx::query(AssertSqlSafe(statement))
            .bind(sequences)
            .execute(transaction)
            .await?;
        Ok(())
    }

    /// Deletes messages that have been delivered.
    pub(crate) async fn delete(
        transaction: &mut Transaction,
        sequences: &[i64],
    ) -> Result<(), sqlx::Error> {
        let statement = format!("DELETE FROM {}.outbox WHERE sequence = ANY($1)", K::SCHEMA);
        sqlx::query(AssertSqlSafe(statement))
            .bind(sequences)
            .execute(transaction)
            .await?;
        Ok(())
    }

    /// Delays the next attempt at a message that was rejected.
    pub(crate) async fn try_later(
        transaction: &mut Transaction,
        sequence: i64,
    ) -> Result<(), sqlx::Error> {
        let statement = format!(
            "UPDATE {}.outbox
             SET attempts = attempts + 1,
                 not_before = clock_timestamp() + make_interval(
                     secs => least($2 * power(2, least(attempts, 20)), $3) * (1 - random() / 2)
                 )
             WHERE sequence = $1",
            K::SCHEMA
        );
        sqlx::query(AssertSqlSafe(statement))
            .bind(sequence)
            .bind(REFUSED_FOR)
            .bind(REFUSED_FOR_AT_MOST)
            .execute(transaction)
            .await?;
        Ok(())
    }

    /// Moves a patient who has had a turn behind everybody who is waiting now. `sequence` is their
    /// next message.
    pub(crate) async fn put_last(
        transaction: &mut Transaction,
        sequence: i64,
    ) -> Result<(), sqlx::Error> {
        let statement = format!(
            "UPDATE {}.outbox SET not_before = clock_timestamp() WHERE sequence = $1",
            K::SCHEMA
        );
        sqlx::query(AssertSqlSafe(statement))
            .bind(sequence)
            .execute(transaction)
            .await?;
        Ok(())
    }

    /// Skips a patient whose delivery failed in the database for a while, unless another
    /// transaction has locked their next message.
    pub(crate) async fn put_off(database: &PgPool, patient_id: Uuid) -> Result<(), sqlx::Error> {
        let statement = format!(
            "UPDATE {schema}.outbox
             SET not_before = clock_timestamp() + make_interval(secs => $2)
             WHERE sequence = (
                 SELECT sequence FROM {schema}.outbox
                 WHERE patient_id = $1
                 ORDER BY sequence
                 LIMIT 1
                 FOR UPDATE SKIP LOCKED
             )",
            schema = K::SCHEMA
        );
        sqlx::query(AssertSqlSafe(statement))
            .bind(patient_id)
            .bind(FAILED_FOR)
            .execute(database)
            .await?;
        Ok(())
    }

    /// Takes the lock on this service's deliveries of this patient until the transaction ends. Waits for
    /// less time than a request has for its delivery: who is not waited for any more must not get it.
    pub(crate) async fn lock(
        transaction: &mut Transaction,
        patient_id: Uuid,
    ) -> Result<(), sqlx::Error> {
        sqlx::query(
            "WITH setting AS MATERIALIZED (SELECT set_config('lock_timeout', '1s', true))
             SELECT pg_advisory_xact_lock($1) FROM setting",
        )
        .bind(Self::lock_of(patient_id))
        .execute(transaction)
        .await?;
        Ok(())
    }

    /// Like [`lock`](Self::lock), unless somebody else has the lock. Returns whether it has worked.
    pub(crate) async fn try_lock(
        transaction: &mut Transaction,
        patient_id: Uuid,
    ) -> Result<bool, sqlx::Error> {
        sqlx::query_scalar("SELECT pg_try_advisory_xact_lock($1)")
            .bind(Self::lock_of(patient_id))
            .fetch_one(transaction)
            .await
    }

    /// 64 bits of the id: two patients with the same bits only wait for each other.
    fn lock_of(patient_id: Uuid) -> i64 {
        let (high, low) = patient_id.as_u64_pair();
        (high ^ low ^ K::LOCKS).cast_signed()
    }

    /// The patients behind a place in the queue whose first message is for this receiver and may be
    /// delivered now.
    pub(crate) async fn heads(
        database: &PgPool,
        receiver: K::Receiver,
        Place(since, sequence): Place,
        limit: i64,
    ) -> Result<Vec<Head>, sqlx::Error> {
        let statement = format!(
            "SELECT patient_id, sequence, greatest(created_at, not_before) AS since
             FROM {schema}.outbox AS head
             WHERE (greatest(created_at, not_before), sequence) > ($1, $2)
                 AND not_before <= now() AND kind = ANY($3)
                 AND NOT EXISTS (
                     SELECT FROM {schema}.outbox AS earlier
                     WHERE earlier.patient_id = head.patient_id
                         AND earlier.sequence < head.sequence
                 )
             ORDER BY greatest(created_at, not_before), sequence
             LIMIT $4",
            schema = K::SCHEMA
        );
        sqlx::query_as(AssertSqlSafe(statement))
            .bind(since)
            .bind(sequence)
            .bind(names_for::<K>(receiver))
            .bind(limit)
            .fetch_all(database)
            .await
    }

    /// What is left.
    pub(crate) async fn left(database: &PgPool) -> Result<Left, sqlx::Error> {
        let statement = format!(
            "SELECT count(*) AS length,
                    count(*) FILTER (WHERE attempts >= $1) AS stuck,
                    COALESCE(EXTRACT(EPOCH FROM now() - min(created_at)), 0)::float8 AS age
             FROM {}.outbox",
            K::SCHEMA
        );
        sqlx::query_as(AssertSqlSafe(statement))
            .bind(STUCK_AFTER)
            .fetch_one(database)
            .await
    }
}
