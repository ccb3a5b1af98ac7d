//! On a schedule: delivers what requests left in the outbox, oldest first, and deletes
//! stored answers that are too old to count.

use std::time::{Duration, Instant};

use serde::Serialize;
use sqlx::PgPool;
use telemetry::{Metrics, Unit};

use crate::{SCHEMA, outbox::Delivery};

/// How long one run works, well within the function's time-out.
const RUN: Duration = Duration::from_secs(40);

/// How many patients are looked up at a time.
const PATIENTS: i64 = 100;

/// A dependency that fails this often in a row is down: the next run tries again.
const FAILURES_IN_A_ROW: u32 = 3;

/// What a run did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Relayed {
    /// How many messages it delivered.
    pub delivered: usize,
    /// How many are left.
    pub backlog: i64,
}

/// Delivers until the outbox is empty, the run's time is up, or a dependency is down.
///
/// # Errors
/// If the database cannot be reached.
pub async fn relay_outbox(database: &PgPool, delivery: &Delivery) -> Result<Relayed, sqlx::Error> {
    let started = Instant::now();
    let mut delivered = 0;
    let mut failures = 0;
    'run: loop {
        let patients = sqlx::query_scalar!(
            "SELECT patient_id
             FROM patients.outbox
             GROUP BY patient_id
             ORDER BY min(sequence)
             LIMIT $1",
            PATIENTS,
        )
        .fetch_all(database)
        .await?;
        let before = delivered;
        for patient_id in patients {
            if started.elapsed() > RUN || failures == FAILURES_IN_A_ROW {
                break 'run;
            }
            match delivery.relay(database, patient_id).await {
                Ok(messages) => {
                    delivered += messages;
                    failures = 0;
                }
                Err(error) => {
                    let cause = &error as &dyn std::error::Error;
                    tracing::warn!(cause, patientId = %patient_id, "left to the next run");
                    failures += 1;
                }
            }
        }
        if delivered == before {
            break;
        }
    }
    idempotency::prune(database, SCHEMA).await?;
    report(database, delivered).await
}

async fn report(database: &PgPool, delivered: usize) -> Result<Relayed, sqlx::Error> {
    let outbox = sqlx::query!(
        r#"SELECT count(*) AS "length!",
                  COALESCE(EXTRACT(EPOCH FROM now() - min(created_at)), 0)::float8 AS "age!"
           FROM patients.outbox"#,
    )
    .fetch_one(database)
    .await?;
    #[expect(
        clippy::cast_precision_loss,
        reason = "a metric is a float, and no count here comes near 2^52"
    )]
    Metrics::new()
        .dimension("Function", "relay-outbox")
        .metric("OutboxDelivered", Unit::Count, delivered as f64)
        .metric("OutboxBacklog", Unit::Count, outbox.length as f64)
        .metric("OutboxAge", Unit::Seconds, outbox.age)
        .emit();
    Ok(Relayed {
        delivered,
        backlog: outbox.length,
    })
}
