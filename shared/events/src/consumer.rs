//! The frame that every consumer of events runs in: decoding, trace, dead letters, log lines and
//! metrics. Each consumer adds only how it handles an event.
//!
//! A record that fails is reported to Lambda, which redelivers its partition from there on. The
//! frame leaves the rest of the partition alone, so that the order is kept. The event source
//! mapping has to enable such reports, or Lambda takes them for a success.

use std::{
    future::Future,
    marker::PhantomData,
    time::{Duration, Instant, SystemTime},
};

use aws_lambda_events::kafka::{KafkaEvent, KafkaRecord};
use aws_sdk_sqs::Client;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use chrono::Utc;
use contracts::TRACEPARENT;
use lambda_runtime::{Error, LambdaEvent};
use serde::Serialize;
use store::{aws_config, service_fn, setting};
use telemetry::{Metrics, TraceContext, Unit};
use tokio::sync::OnceCell;
use tracing::Instrument as _;

use crate::{DeadLetter, DeadLetterQueue, Event, Undecodable};

/// What an event did to the consumer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It took effect now.
    Applied,
    /// It had taken effect before; this was a duplicate.
    AlreadyApplied,
    /// A later version of the patient or appointment had been seen before; it changed nothing.
    OutOfDate,
    /// It does not concern this consumer.
    Ignored,
}

impl Effect {
    const fn name(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::AlreadyApplied => "already applied",
            Self::OutOfDate => "out of date",
            Self::Ignored => "ignored",
        }
    }
}

/// How long before its deadline a function stops starting records: far longer than a slow record
/// takes that is not stuck. The remaining records are redelivered at once, which is not certain if
/// the function is stopped in the middle of a record.
const RESERVE: Duration = Duration::from_secs(20);

/// What Lambda is told about a batch: from which record on each partition has to be redelivered
/// (<https://docs.aws.amazon.com/lambda/latest/dg/kafka-retry-configurations.html>). An empty list
/// means that every record was handled.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    batch_item_failures: Vec<Failure>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Failure {
    item_identifier: ItemIdentifier,
}

/// `partition` is the topic and the number of the partition, such as `patient.events.v1-0`.
#[derive(Debug, Serialize)]
struct ItemIdentifier {
    partition: String,
    offset: i64,
}

/// The record will be redelivered. The reason has been logged where it was known.
struct ComesAgain;

/// Serves batches of records as the Lambda function of this name until Lambda stops it.
///
/// `handle` is called with one event at a time, in the order of each partition. It must take effect
/// once per event id. If it fails, the partition is redelivered from this event on.
///
/// # Errors
/// If the Lambda runtime API cannot be reached.
pub async fn consume<E, H, F>(function: &'static str, handle: H) -> Result<(), Error>
where
    E: Event,
    H: Fn(E) -> F,
    F: Future<Output = Result<Effect, Error>>,
{
    let consumer = Consumer {
        function,
        handle,
        dead_letters: OnceCell::new(),
        events: PhantomData,
    };
    let consumer = &consumer;
    lambda_runtime::run(service_fn(|batch: LambdaEvent<KafkaEvent>| {
        consumer.batch(batch)
    }))
    .await
}

struct Consumer<E, H> {
    function: &'static str,
    handle: H,
    dead_letters: OnceCell<DeadLetterQueue>,
    events: PhantomData<fn(E)>,
}

impl<E, H, F> Consumer<E, H>
where
    E: Event,
    H: Fn(E) -> F,
    F: Future<Output = Result<Effect, Error>>,
{
    async fn batch(&self, batch: LambdaEvent<KafkaEvent>) -> Result<Report, Error> {
        let request_id = &batch.context.request_id;
        // Not every caller sets one: `cargo lambda watch` sends a time long past.
        let deadline = Some(batch.context.deadline()).filter(|end| *end > SystemTime::now());
        let stop = deadline.map(|end| end - RESERVE);
        let mut report = Report::default();
        let mut is_first = true;
        for (partition, records) in batch.payload.records {
            for record in &records {
                // The first record is started whatever the time is; otherwise nothing might ever
                // be.
                let is_time = is_first || stop.is_none_or(|stop| SystemTime::now() < stop);
                is_first = false;
                if is_time && self.in_span(record, request_id).await.is_ok() {
                    continue;
                }
                report.batch_item_failures.push(Failure {
                    item_identifier: ItemIdentifier {
                        partition,
                        offset: record.offset,
                    },
                });
                break;
            }
        }
        Ok(report)
    }

    async fn in_span(&self, record: &KafkaRecord, request_id: &str) -> Result<(), ComesAgain> {
        let trace = trace(record);
        let span = tracing::info_span!(
            "record",
            requestId = %request_id,
            traceId = %trace.trace_id(),
            function = self.function,
            partition = record.partition,
            offset = record.offset,
        );
        trace.scope(self.record(record)).instrument(span).await
    }

    async fn record(&self, record: &KafkaRecord) -> Result<(), ComesAgain> {
        let started = Instant::now();
        let event: E = match decode(record) {
            Ok(event) => event,
            Err(reason) => {
                return Box::pin(self.put_aside(record, reason))
                    .await
                    .map_err(|error| {
                        tracing::error!(
                            reason = %reason, cause = %error,
                            "the record could not be set aside and will be redelivered"
                        );
                        self.comes_again()
                    });
            }
        };
        let (id, patient_id, kind) = (event.id(), event.patient_id(), event.kind());
        let age = Utc::now() - event.occurred_at();
        // Boxed, as above: the AWS SDK's futures inside are large and nested too deeply for the
        // compiler.
        let effect = Box::pin((self.handle)(event)).await.map_err(|error| {
            tracing::error!(eventId = %id, cause = %error, "the event failed and will be redelivered");
            self.comes_again()
        })?;
        tracing::info!(
            eventId = %id, patientId = %patient_id, kind, effect = effect.name(), "event"
        );
        let milliseconds = |seconds: f64| seconds * 1000.0;
        self.metrics()
            .metric("Events", Unit::Count, 1.0)
            .metric(
                "Duration",
                Unit::Milliseconds,
                milliseconds(started.elapsed().as_secs_f64()),
            )
            .metric(
                "EventAge",
                Unit::Milliseconds,
                milliseconds(age.as_seconds_f64()),
            )
            .emit();
        Ok(())
    }

    async fn put_aside(&self, record: &KafkaRecord, reason: Undecodable) -> Result<(), Error> {
        let queue = self
            .dead_letters
            .get_or_try_init(|| async {
                let url = setting("DEAD_LETTER_QUEUE_URL")?;
                Ok::<_, Error>(DeadLetterQueue::new(Client::new(aws_config().await), url))
            })
            .await?;
        queue
            .send(DeadLetter::of(record, self.function, reason))
            .await?;
        tracing::error!(cause = %reason, "the record was sent to the dead-letter queue");
        self.metrics()
            .metric("DeadLetters", Unit::Count, 1.0)
            .emit();
        Ok(())
    }

    /// Counts it: a record that never succeeds holds up its partition, which must be noticed.
    fn comes_again(&self) -> ComesAgain {
        self.metrics().metric("Failures", Unit::Count, 1.0).emit();
        ComesAgain
    }

    fn metrics(&self) -> Metrics {
        Metrics::of_function(self.function)
    }
}

fn decode<E: Event>(record: &KafkaRecord) -> Result<E, Undecodable> {
    if record.topic.as_deref() != Some(E::TOPIC) {
        return Err(Undecodable("topic"));
    }
    let value = record.value.as_deref().ok_or(Undecodable("no value"))?;
    let bytes = STANDARD
        .decode(value)
        .map_err(|_| Undecodable("not base64"))?;
    E::decode(&bytes)
}

/// The trace of the request that caused the event.
fn trace(record: &KafkaRecord) -> TraceContext {
    let bytes = record
        .headers
        .iter()
        .find_map(|header| header.get(TRACEPARENT));
    let text = bytes.map(|bytes| bytes.iter().map(|byte| byte.cast_unsigned()).collect());
    text.and_then(|bytes: Vec<u8>| String::from_utf8(bytes).ok())
        .and_then(|text| text.parse().ok())
        .unwrap_or_else(TraceContext::start)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use std::cell::RefCell;

    use aws_sdk_sqs::config::{BehaviorVersion, Credentials, Region, retry::RetryConfig};
    use lambda_runtime::Context;
    use serde_json::{Value, json};
    use uuid::Uuid;

    use super::*;
    use crate::{Change, PatientEvent};

    fn value(version: i64) -> String {
        let event = PatientEvent {
            id: Uuid::now_v7(),
            occurred_at: Utc::now(),
            patient_id: Uuid::now_v7(),
            patient_version: version,
            change: Change::Deleted,
        };
        STANDARD.encode(event.encode())
    }

    fn record(partition: i64, offset: i64, value: &str) -> Value {
        json!({
            "topic": "patient.events.v1", "partition": partition, "offset": offset,
            "timestamp": 0, "timestampType": "CREATE_TIME",
            "key": null, "value": value, "headers": [{ "odd": [-1, 0, 127] }],
        })
    }

    /// Passes these records to a consumer that fails on some versions. Returns the versions that it
    /// was called with, and its report to Lambda.
    async fn consume(partitions: &Value, fails_at: &[i64], seconds_left: u64) -> (Vec<i64>, Value) {
        let called = RefCell::new(Vec::new());
        let nowhere = aws_sdk_sqs::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .http_client(store::http_client())
            .endpoint_url("http://127.0.0.1:1")
            .region(Region::from_static("us-east-1"))
            .credentials_provider(Credentials::new("test", "test", None, None, "test"))
            .retry_config(RetryConfig::disabled())
            .build();
        let consumer = Consumer {
            function: "test",
            handle: async |event: PatientEvent| {
                called.borrow_mut().push(event.patient_version);
                if fails_at.contains(&event.patient_version) {
                    return Err(Error::from("as planned"));
                }
                Ok(Effect::Applied)
            },
            dead_letters: OnceCell::from(DeadLetterQueue::new(
                Client::from_conf(nowhere),
                "http://127.0.0.1:1/queue".to_owned(),
            )),
            events: PhantomData,
        };
        let payload = serde_json::from_value(json!({ "records": partitions })).unwrap();
        let mut context = Context::default();
        let deadline = SystemTime::now() + Duration::from_secs(seconds_left);
        let since_epoch = deadline.duration_since(SystemTime::UNIX_EPOCH).unwrap();
        context.deadline = since_epoch.as_millis().try_into().unwrap();
        let report = consumer
            .batch(LambdaEvent::new(payload, context))
            .await
            .unwrap();
        let mut called = called.into_inner();
        called.sort_unstable();
        (called, serde_json::to_value(report).unwrap())
    }

    fn failed(partition: &str, offset: i64) -> Value {
        json!({ "itemIdentifier": { "partition": partition, "offset": offset } })
    }

    #[tokio::test]
    async fn a_batch_without_failures_is_reported_with_an_empty_list() {
        let records = json!({ "patient.events.v1-0": [record(0, 7, &value(1))] });
        let (called, report) = consume(&records, &[], 60).await;
        assert_eq!(called, [1]);
        assert_eq!(report, json!({ "batchItemFailures": [] }));
        let (_, report) = consume(&json!({}), &[], 60).await;
        assert_eq!(report, json!({ "batchItemFailures": [] }));
    }

    #[tokio::test]
    async fn a_partition_stops_at_its_first_failure_and_the_others_continue() {
        let records = json!({
            "patient.events.v1-0": [
                record(0, 10, &value(1)), record(0, 11, &value(2)),
                record(0, 13, &value(3)), record(0, 14, &value(4)),
            ],
            "patient.events.v1-11": [record(11, 5, &value(5)), record(11, 6, &value(6))],
        });
        let (called, report) = consume(&records, &[2, 3], 60).await;
        assert_eq!(called, [1, 2, 5, 6]);
        let expected = json!({ "batchItemFailures": [failed("patient.events.v1-0", 11)] });
        assert_eq!(report, expected);
    }

    #[tokio::test]
    async fn a_record_that_cannot_be_set_aside_is_redelivered() {
        let records = json!({ "patient.events.v1-3": [
            record(3, 1, &value(1)), record(3, 2, "AAAA"), record(3, 3, &value(3)),
        ] });
        let (called, report) = consume(&records, &[], 60).await;
        assert_eq!(called, [1]);
        let expected = json!({ "batchItemFailures": [failed("patient.events.v1-3", 2)] });
        assert_eq!(report, expected);
    }

    #[tokio::test]
    async fn a_record_of_another_topic_is_no_event() {
        let mut other = record(3, 1, &value(1));
        other["topic"] = json!("appointment.events.v1");
        let records = json!({ "patient.events.v1-3": [other] });
        let (called, report) = consume(&records, &[], 60).await;
        assert_eq!(called, [0; 0]);
        let expected = json!({ "batchItemFailures": [failed("patient.events.v1-3", 1)] });
        assert_eq!(report, expected);
    }

    #[tokio::test]
    async fn records_that_there_is_no_time_for_are_redelivered() {
        let records = json!({ "patient.events.v1-3": [
            record(3, 1, &value(1)), record(3, 2, &value(2)), record(3, 3, &value(3)),
        ] });
        let (called, report) = consume(&records, &[], 5).await;
        assert_eq!(called, [1]);
        let expected = json!({ "batchItemFailures": [failed("patient.events.v1-3", 2)] });
        assert_eq!(report, expected);
        let (called, _) = consume(&records, &[], 0).await;
        assert_eq!(called, [1, 2, 3], "without a deadline");
    }
}
