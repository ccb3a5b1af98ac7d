//! `verify-audit-trail`, every day and whenever somebody wants to know: reads the whole
//! trail, and says where it was tampered with.
//!
//! Who may write to the database as its owner could cut off the end of a chain, or write
//! all of it anew. Therefore the answer names the end of each chain, and a later call can
//! be given those ends: `{"ends": [{"chain": 0, "sequence": 41, "hash": "…"}]}`. They are
//! logged as well, outside the database.

use std::{collections::HashMap, fmt::Write as _};

use chrono::{DateTime, Utc};
use lambda_runtime::{Diagnostic, LambdaEvent, service_fn};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use store::Transaction;
use telemetry::{Metrics, Unit};

use crate::chain::{BEGINNING, StoredRecord};

/// How many records are read at a time.
const PAGE: i64 = 5_000;

/// How many faults are named. One that is missing makes no other wrong, so more than that
/// is no accident.
const MAX_FAULTS: usize = 100;

/// What the trail is held against, beside itself.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Verification {
    /// Ends of chains as an earlier verification found them.
    #[serde(default)]
    pub ends: Vec<End>,
}

/// The last record of a chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// Which chain.
    pub chain: i16,
    /// The place of the record in it, which is how many records it has; 0 before the first.
    pub sequence: i64,
    /// The record's hash, in hexadecimal digits.
    pub hash: String,
}

/// What was found.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Verified {
    /// Whether nothing is wrong.
    pub intact: bool,
    /// How many records there are.
    pub records: u64,
    /// What is wrong, the first hundred things at most.
    pub faults: Vec<Fault>,
    /// When this was so.
    pub verified_at: DateTime<Utc>,
    /// To be kept, for a later verification.
    pub ends: Vec<End>,
}

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// Which chain.
    pub chain: i16,
    /// Where in it.
    pub sequence: i64,
    /// What.
    pub what: What,
}

/// What is wrong with a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum What {
    /// It is not there, nor perhaps those before it.
    Missing,
    /// It, or the one before it, is not what it was.
    Changed,
    /// It is not the one that the chain ends with.
    NotTheEnd,
    /// It is not the one that an earlier verification found there.
    NotAsFoundEarlier,
}

/// Serves as the Lambda function until Lambda stops it.
///
/// # Errors
/// If the Lambda runtime API cannot be reached.
pub async fn serve(database: PgPool) -> Result<(), lambda_runtime::Error> {
    let database = &database;
    Box::pin(lambda_runtime::run(service_fn(
        |event: LambdaEvent<Option<serde_json::Value>>| async move {
            let verification = requested(event.payload)?;
            let verified = verify_audit_trail(database, &verification).await;
            match &verified {
                Ok(found) => report(found),
                Err(error) => tracing::error!(cause = %error, "the audit trail was not verified"),
            }
            verified.map_err(|error| Diagnostic {
                error_type: "VerificationFailed".to_owned(),
                error_message: error.to_string(),
            })
        },
    )))
    .await
}

/// What a person asked for; a schedule asks for nothing in particular.
fn requested(payload: Option<serde_json::Value>) -> Result<Verification, Diagnostic> {
    let payload = payload.filter(|payload| payload.get("detail-type").is_none());
    let Some(payload) = payload else {
        return Ok(Verification::default());
    };
    serde_json::from_value(payload).map_err(|error| Diagnostic {
        error_type: "InvalidInput".to_owned(),
        error_message: error.to_string(),
    })
}

fn report(found: &Verified) {
    let ends = serde_json::to_string(&found.ends).unwrap_or_default();
    if found.intact {
        tracing::info!(records = found.records, ends, "the audit trail is intact");
    } else {
        let faults = serde_json::to_string(&found.faults).unwrap_or_default();
        tracing::error!(
            records = found.records,
            faults,
            ends,
            "the audit trail was tampered with"
        );
    }
    Metrics::of_function("verify-audit-trail")
        .metric(
            "BrokenTrail",
            Unit::Count,
            if found.intact { 0.0 } else { 1.0 },
        )
        .property("message", "verification")
        .emit();
}

/// Verifies the trail as it is at this moment.
///
/// # Errors
/// If the database does not answer. Then nothing is said about the trail.
pub async fn verify_audit_trail(
    database: &PgPool,
    verification: &Verification,
) -> Result<Verified, sqlx::Error> {
    let mut transaction = Transaction::begin(database).await?;
    // The ends and the records of one moment.
    sqlx::query("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        .execute(&mut transaction)
        .await?;
    let ends = ends(&mut transaction).await?;
    let mut reading = Reading::against(&verification.ends);
    let mut place = (-1, 0);
    loop {
        let page = page_behind(&mut transaction, place).await?;
        let Some(last) = page.last() else {
            break;
        };
        place = (last.chain, last.sequence);
        for record in &page {
            reading.read(record);
        }
    }
    transaction.commit().await?;

    let (records, mut faults) = reading.finish(&ends);
    faults.truncate(MAX_FAULTS);
    Ok(Verified {
        intact: faults.is_empty(),
        records,
        faults,
        verified_at: Utc::now(),
        ends,
    })
}

async fn ends(transaction: &mut Transaction) -> Result<Vec<End>, sqlx::Error> {
    sqlx::query_as!(
        End,
        r#"SELECT number AS chain, sequence, encode(hash, 'hex') AS "hash!"
           FROM audit.chain
           ORDER BY number"#
    )
    .fetch_all(transaction)
    .await
}

async fn page_behind(
    transaction: &mut Transaction,
    (chain, sequence): (i16, i64),
) -> Result<Vec<StoredRecord>, sqlx::Error> {
    sqlx::query_as!(
        StoredRecord,
        "SELECT chain, sequence, id, occurred_at, actor_id, actor_role, action, outcome, problem,
                patient_ids, account_id, reason, source, request_id, hash
         FROM audit.record
         WHERE (chain, sequence) > ($1, $2)
         ORDER BY chain, sequence
         LIMIT $3",
        chain,
        sequence,
        PAGE,
    )
    .fetch_all(transaction)
    .await
}

/// What has been read so far, record by record, chain after chain.
struct Reading {
    records: u64,
    faults: Vec<Fault>,
    /// The last record of each chain so far.
    last: HashMap<i16, (i64, Vec<u8>)>,
    /// Hashes that records must have, by their places.
    found_earlier: HashMap<(i16, i64), String>,
}

impl Reading {
    fn against(ends: &[End]) -> Self {
        let found_earlier = ends
            .iter()
            .filter(|end| end.sequence > 0)
            .map(|end| ((end.chain, end.sequence), end.hash.to_lowercase()));
        Self {
            records: 0,
            faults: Vec::new(),
            last: HashMap::new(),
            found_earlier: found_earlier.collect(),
        }
    }

    fn read(&mut self, record: &StoredRecord) {
        let (chain, sequence) = (record.chain, record.sequence);
        self.records += 1;
        let beginning = || (0, BEGINNING.to_vec());
        let (last, previous) = self.last.remove(&chain).unwrap_or_else(beginning);
        if sequence != last + 1 {
            // What stood before this one is not known; whatever is said of it is about them.
            self.fault(chain, sequence - 1, What::Missing);
        } else if record.hash_behind(&previous) != *record.hash {
            self.fault(chain, sequence, What::Changed);
        }
        if let Some(hash) = self.found_earlier.remove(&(chain, sequence))
            && hash != hexadecimal(&record.hash)
        {
            self.fault(chain, sequence, What::NotAsFoundEarlier);
        }
        self.last.insert(chain, (sequence, record.hash.clone()));
    }

    fn finish(mut self, ends: &[End]) -> (u64, Vec<Fault>) {
        for end in ends {
            let beginning = || (0, BEGINNING.to_vec());
            let (sequence, hash) = self.last.remove(&end.chain).unwrap_or_else(beginning);
            if sequence < end.sequence {
                self.fault(end.chain, end.sequence, What::Missing);
            } else if sequence > end.sequence || hexadecimal(&hash) != end.hash {
                self.fault(end.chain, sequence, What::NotTheEnd);
            }
        }
        let chains: Vec<_> = self.last.drain().collect();
        for (chain, (sequence, _)) in chains {
            // Nobody knows of this chain.
            self.fault(chain, sequence, What::NotTheEnd);
        }
        let places: Vec<_> = self.found_earlier.drain().collect();
        for ((chain, sequence), _) in places {
            self.fault(chain, sequence, What::NotAsFoundEarlier);
        }
        (self.records, self.faults)
    }

    fn fault(&mut self, chain: i16, sequence: i64, what: What) {
        self.faults.push(Fault {
            chain,
            sequence,
            what,
        });
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut digits, byte| {
        let _ = write!(digits, "{byte:02x}");
        digits
    })
}
