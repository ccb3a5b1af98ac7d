//! `verify-audit-trail`, every day and whenever somebody wants to know: reads what came to the
//! trail since it was read last, or all of it, and says where it was tampered with.
//!
//! Where a verification has found a chain intact, the next one goes on. So a change to what was
//! read before does not show in it: it does in one of everything (`{"full": true}`), which is
//! made every month. A verification that is longer than a run goes on in the next run, which is
//! told what the ones before have found.
//!
//! Who may write to the database as its owner could cut off the end of a chain, or write
//! all of it anew. Therefore the answer names the end of each chain, and a later call can
//! be given those ends: `{"ends": [{"chain": 0, "sequence": 41, "hash": "…"}]}`. It reads
//! everything. The ends are logged as well, outside the database.

use std::{
    fmt::Write as _,
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use lambda_runtime::{Diagnostic, LambdaEvent};
use next_run::{NextRun, end_of_run};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use store::service_fn;
use telemetry::{Metrics, Unit};

use crate::{
    chain::{BEGINNING, StoredRecord},
    record_refusals::append_counts,
};

/// How many records are read at a time.
const PAGE: i64 = 5_000;

/// How many faults are named. One that is missing makes no other wrong, so more than that
/// is no accident.
const MAX_FAULTS: usize = 100;

/// How long before its time-out a run reads no further page.
const RESERVE: Duration = Duration::from_secs(30);

/// What the trail is held against, beside itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Verification {
    /// Whether everything is read, and not only what came since the last time. So it is
    /// where ends are given.
    #[serde(default)]
    full: bool,
    /// Ends of chains as an earlier verification found them.
    #[serde(default)]
    ends: Vec<End>,
    /// What the runs before this one have found, of a verification that takes several.
    #[serde(default)]
    so_far: Option<SoFar>,
}

impl Verification {
    /// Of all records.
    #[must_use]
    pub fn of_everything() -> Self {
        Self {
            full: true,
            ..Self::default()
        }
    }

    /// Of all records, which have to lead to these ends.
    #[must_use]
    pub fn against(ends: Vec<End>) -> Self {
        Self {
            ends,
            ..Self::of_everything()
        }
    }
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

/// A verification that is under way.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct SoFar {
    records: u64,
    faults: Vec<Fault>,
    /// Up to where each chain was read.
    places: Vec<End>,
}

/// What was found.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Verified {
    /// Whether nothing is wrong, and all was read that was to be read.
    pub intact: bool,
    /// Whether some is left to be read only because the time was up.
    pub unfinished: bool,
    /// How many records were read.
    pub records: u64,
    /// What is wrong, the first hundred things at most.
    pub faults: Vec<Fault>,
    /// When this was so.
    pub verified_at: DateTime<Utc>,
    /// To be kept, for a later verification.
    pub ends: Vec<End>,
    /// What the next run goes on with, if this one is unfinished.
    #[serde(skip)]
    pub rest: Option<Verification>,
}

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// Which chain.
    pub chain: i16,
    /// Where in it.
    pub sequence: i64,
    /// What.
    pub what: What,
}

/// What is wrong with a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
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

/// What the function is called with: by a schedule, its own queue or a person.
#[derive(Debug, Deserialize)]
struct Messages {
    #[serde(rename = "Records")]
    messages: Vec<Message>,
}

#[derive(Debug, Deserialize)]
struct Message {
    body: String,
}

/// Serves as the Lambda function until Lambda stops it.
///
/// # Errors
/// If the Lambda runtime API cannot be reached.
pub async fn serve(database: PgPool, next: NextRun) -> Result<(), lambda_runtime::Error> {
    let (database, next) = (&database, &next);
    Box::pin(lambda_runtime::run(service_fn(
        |event: LambdaEvent<Option<serde_json::Value>>| async move {
            let until = end_of_run(&event.context, RESERVE);
            let verification = requested(event.payload)?;
            // Of an attack after whose end nobody was refused any more.
            if let Err(error) = append_counts(database).await {
                tracing::warn!(cause = %error, "counts of refusals are not on record yet");
            }
            let verified = verify_audit_trail(database, verification, until).await;
            match &verified {
                Ok(found) => {
                    report(found);
                    if let Some(rest) = &found.rest {
                        next.begin_with(
                            &serde_json::to_string(rest).map_err(|error| invalid(&error))?,
                        )
                        .await;
                    }
                }
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

/// What a person asked for, or a run before this one; a schedule asks for nothing in
/// particular.
fn requested(payload: Option<serde_json::Value>) -> Result<Verification, Diagnostic> {
    let payload = payload.filter(|payload| payload.get("detail-type").is_none());
    let Some(payload) = payload else {
        return Ok(Verification::default());
    };
    if payload.get("Records").is_some() {
        let Messages { messages } =
            serde_json::from_value(payload).map_err(|error| invalid(&error))?;
        let first = messages.first().map_or("{}", |message| &message.body);
        return serde_json::from_str(first).map_err(|error| invalid(&error));
    }
    serde_json::from_value(payload).map_err(|error| invalid(&error))
}

fn invalid(error: &serde_json::Error) -> Diagnostic {
    Diagnostic {
        error_type: "InvalidInput".to_owned(),
        error_message: error.to_string(),
    }
}

fn report(found: &Verified) {
    let ends = serde_json::to_string(&found.ends).unwrap_or_default();
    if !found.faults.is_empty() {
        let faults = serde_json::to_string(&found.faults).unwrap_or_default();
        tracing::error!(
            records = found.records,
            faults,
            ends,
            "the audit trail was tampered with"
        );
    } else if found.intact {
        tracing::info!(records = found.records, ends, "the audit trail is intact");
    } else {
        tracing::info!(records = found.records, "the verification goes on");
        // Nothing is said yet: an alarm tells of a day without a verification that has ended.
        return;
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

/// Verifies the trail as it is at this moment, and reads no further page after `until`. No
/// transaction is longer than a page.
///
/// # Errors
/// If the database does not answer. Then nothing is said about the trail.
pub async fn verify_audit_trail(
    database: &PgPool,
    verification: Verification,
    until: Instant,
) -> Result<Verified, sqlx::Error> {
    let chains = chains(database).await?;
    let full = verification.full || !verification.ends.is_empty();
    let mut reading = match verification.so_far {
        Some(so_far) => Reading(so_far),
        None => begin(database, full, &verification.ends).await?,
    };
    let mut unfinished = false;
    for chain in &chains {
        unfinished |= !reading.read_chain(database, chain, until).await?;
        reading.compare_ends(chain);
    }
    let mut so_far = reading.0;
    so_far.faults.truncate(MAX_FAULTS);
    Ok(Verified {
        intact: so_far.faults.is_empty() && !unfinished,
        unfinished,
        records: so_far.records,
        faults: so_far.faults.clone(),
        verified_at: Utc::now(),
        ends: chains.iter().filter_map(Chain::end).collect(),
        rest: unfinished.then_some(Verification {
            full,
            ends: Vec::new(),
            so_far: Some(so_far),
        }),
    })
}

/// Where to begin reading, and what can be said before.
async fn begin(database: &PgPool, full: bool, ends: &[End]) -> Result<Reading, sqlx::Error> {
    let verified = sqlx::query_as!(
        End,
        r#"SELECT chain, sequence, encode(hash, 'hex') AS "hash!" FROM audit.verified_end"#,
    )
    .fetch_all(database)
    .await?;
    let mut reading = Reading::default();
    for end in verified.iter().chain(ends).filter(|end| end.sequence > 0) {
        let found = sqlx::query_scalar!(
            r#"SELECT encode(hash, 'hex') AS "hash!"
               FROM audit.record
               WHERE chain = $1 AND sequence = $2"#,
            end.chain,
            end.sequence,
        );
        let found = found.fetch_optional(database).await?;
        if found.is_none_or(|found| !found.eq_ignore_ascii_case(&end.hash)) {
            reading.fault(end.chain, end.sequence, What::NotAsFoundEarlier);
        }
    }
    if !full {
        reading.0.places = verified;
    }
    Ok(reading)
}

/// A chain at one moment.
struct Chain {
    number: i16,
    /// How it should end, if it is known as a chain.
    end: Option<(i64, Vec<u8>)>,
    /// How it ends, if there is a record.
    last: Option<(i64, Vec<u8>)>,
}

impl Chain {
    fn end(&self) -> Option<End> {
        let (sequence, hash) = self.end.as_ref()?;
        Some(End {
            chain: self.number,
            sequence: *sequence,
            hash: hexadecimal(hash),
        })
    }
}

/// All chains that there are, and those that there should not be.
async fn chains(database: &PgPool) -> Result<Vec<Chain>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"WITH RECURSIVE written AS (
               (SELECT chain FROM audit.record ORDER BY chain LIMIT 1)
               UNION ALL
               SELECT (SELECT record.chain FROM audit.record
                       WHERE record.chain > written.chain
                       ORDER BY record.chain
                       LIMIT 1)
               FROM written
               WHERE written.chain IS NOT NULL
           )
           SELECT number AS "number!", head.sequence AS "sequence?", head.hash AS "hash?",
                  last.sequence AS "last_sequence?", last.hash AS "last_hash?"
           FROM (SELECT chain AS number FROM written WHERE chain IS NOT NULL
                 UNION
                 SELECT number FROM audit.chain) AS known
           LEFT JOIN audit.chain AS head USING (number)
           LEFT JOIN LATERAL (
               SELECT record.sequence, record.hash FROM audit.record
               WHERE record.chain = known.number
               ORDER BY record.sequence DESC
               LIMIT 1
           ) AS last ON true
           ORDER BY number"#,
    )
    .fetch_all(database)
    .await?;
    let chains = rows.into_iter().map(|row| Chain {
        number: row.number,
        end: row.sequence.zip(row.hash),
        last: row.last_sequence.zip(row.last_hash),
    });
    Ok(chains.collect())
}

async fn page_behind(
    database: &PgPool,
    (chain, sequence): (i16, i64),
    last: i64,
) -> Result<Vec<StoredRecord>, sqlx::Error> {
    sqlx::query_as!(
        StoredRecord,
        "SELECT chain, sequence, id, occurred_at, actor_id, actor_role, action, outcome, problem,
                patient_ids, account_id, reason, source, request_id, resource_type, resource_id,
                hash_version, hash
         FROM audit.record
         WHERE chain = $1 AND sequence > $2 AND sequence <= $3
         ORDER BY sequence
         LIMIT $4",
        chain,
        sequence,
        last,
        PAGE,
    )
    .fetch_all(database)
    .await
}

/// What has been read so far, record by record, chain after chain.
#[derive(Default)]
struct Reading(SoFar);

impl Reading {
    /// Whether the chain ends with the record that it should end with.
    fn compare_ends(&mut self, chain: &Chain) {
        let beginning = || (0, BEGINNING.to_vec());
        let (sequence, hash) = chain.last.clone().unwrap_or_else(beginning);
        match &chain.end {
            Some((end, _)) if sequence < *end => {
                self.fault(chain.number, *end, What::Missing);
            }
            Some((end, expected)) if sequence == *end && hash == *expected => {}
            // Behind the end, or in a chain that nobody knows of.
            _ => self.fault(chain.number, sequence, What::NotTheEnd),
        }
    }

    /// Reads the chain up to its last record; answers whether there was time for that.
    async fn read_chain(
        &mut self,
        database: &PgPool,
        chain: &Chain,
        until: Instant,
    ) -> Result<bool, sqlx::Error> {
        let (number, last) = (chain.number, chain.last.as_ref().map_or(0, |last| last.0));
        let (mut sequence, mut hash) = self.place(number);
        while sequence < last {
            if Instant::now() >= until {
                return Ok(false);
            }
            let page = page_behind(database, (number, sequence), last).await?;
            if page.is_empty() {
                // It was there a moment ago.
                self.fault(number, last, What::Missing);
                break;
            }
            for record in page {
                self.read(&record, sequence, &hash);
                (sequence, hash) = (record.sequence, record.hash);
            }
            self.0.places.retain(|place| place.chain != number);
            self.0.places.push(End {
                chain: number,
                sequence,
                hash: hexadecimal(&hash),
            });
            if !self.0.faults.iter().any(|fault| fault.chain == number) {
                note_verified(database, number, sequence, &hash).await?;
            }
        }
        Ok(true)
    }

    /// The last record of the chain that was read.
    fn place(&self, chain: i16) -> (i64, Vec<u8>) {
        let place = self.0.places.iter().find(|place| place.chain == chain);
        place.map_or_else(
            || (0, BEGINNING.to_vec()),
            |place| (place.sequence, bytes(&place.hash)),
        )
    }

    /// Reads a record behind the one of this place and hash.
    fn read(&mut self, record: &StoredRecord, last: i64, previous: &[u8]) {
        let (chain, sequence) = (record.chain, record.sequence);
        self.0.records += 1;
        if sequence != last + 1 {
            // What stood before this one is not known; whatever is said of it is about them.
            self.fault(chain, sequence - 1, What::Missing);
        } else if record
            .hash_behind(previous)
            .is_none_or(|hash| hash != *record.hash)
        {
            self.fault(chain, sequence, What::Changed);
        }
    }

    /// Notes what is wrong, once: several runs look at the ends.
    fn fault(&mut self, chain: i16, sequence: i64, what: What) {
        let fault = Fault {
            chain,
            sequence,
            what,
        };
        if self.0.faults.len() < MAX_FAULTS && !self.0.faults.contains(&fault) {
            self.0.faults.push(fault);
        }
    }
}

/// Has the next verification begin behind this record.
async fn note_verified(
    database: &PgPool,
    chain: i16,
    sequence: i64,
    hash: &[u8],
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "SELECT audit.note_verified($1, $2, $3)",
        chain,
        sequence,
        hash
    )
    .execute(database)
    .await?;
    Ok(())
}

pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut digits, byte| {
        let _ = write!(digits, "{byte:02x}");
        digits
    })
}

/// What hexadecimal digits stand for; nothing, which no record's hash is made from, if they are
/// none.
fn bytes(digits: &str) -> Vec<u8> {
    let pairs = digits.as_bytes().chunks(2);
    let bytes: Option<Vec<u8>> = pairs
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect();
    bytes.unwrap_or_default()
}
