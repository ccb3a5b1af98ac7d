//! The frame that every consumer of events runs in: decoding, trace, dead letters, log lines and
//! metrics. Each consumer adds only how it handles events: [one at a time](consume), those of
//! different patients [side by side](consume_side_by_side), or [in batches](consume_in_batches).
//!
//! A record that fails is reported to Lambda, which redelivers its partition from there on. The
//! frame starts nothing behind it on its partition, so that the order is kept. The event source
//! mapping has to enable such reports, or Lambda takes them for a success.

mod batch;
mod handle;
mod time;

use std::{
    marker::PhantomData,
    time::{Duration, SystemTime},
};

use aws_lambda_events::kafka::{KafkaEvent, KafkaRecord};
use aws_sdk_sqs::Client;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use chrono::{DateTime, Utc};
use contracts::TRACEPARENT;
use lambda_runtime::{Error, LambdaEvent};
use serde::Serialize;
use store::{aws_config, service_fn, setting};
use telemetry::{MOST_VALUES, Metrics, TraceContext, Unit};
use tokio::sync::OnceCell;
use tracing::{Instrument as _, Span};
use uuid::Uuid;

pub use self::batch::{Batch, Handled};
use self::{
    handle::{Delivery, Handle, InBatches, OneByOne, Outcome, SideBySide},
    time::Time,
};
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
/// takes that is not stuck, and a message waits for its turn. The remaining records are redelivered at once, which is not certain if
/// the function is stopped in the middle of a record.
const RESERVE: Duration = Duration::from_secs(30);

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

/// The partition is redelivered from this offset on. The reason has been logged where it was known.
#[derive(Debug, Clone, Copy)]
struct ComesAgain(i64);

/// Serves batches of records as the Lambda function of this name until Lambda stops it.
///
/// `handle` is called with one event at a time, in the order of each partition. It must take effect
/// once per event id. If it fails, the partition is redelivered from this event on.
///
/// # Errors
/// If the Lambda runtime API cannot be reached.
pub async fn consume<E, H>(function: &'static str, handle: H) -> Result<(), Error>
where
    E: Event,
    H: AsyncFn(E) -> Result<Effect, Error>,
{
    serve::<E, _>(function, OneByOne(handle)).await
}

/// Like [`consume`], for events that take long, of which most is waiting: events of so many patients
/// are handled at the same time. Those of one patient are handled one after the other, in order, and
/// none is started once one of them, or of anybody else on its partition, has failed.
///
/// # Errors
/// If the Lambda runtime API cannot be reached.
pub async fn consume_side_by_side<E, H>(
    function: &'static str,
    patients: usize,
    handle: H,
) -> Result<(), Error>
where
    E: Event,
    H: AsyncFn(E) -> Result<Effect, Error>,
{
    serve::<E, _>(function, SideBySide { patients, handle }).await
}

/// Like [`consume`], for effects that cost less together: `handle` is called with all events that a
/// partition has in a row.
///
/// # Errors
/// If the Lambda runtime API cannot be reached.
pub async fn consume_in_batches<E, H, X>(function: &'static str, handle: H) -> Result<(), Error>
where
    E: Event,
    H: AsyncFn(Batch<'_, E>) -> Handled<X>,
    X: Into<Error>,
{
    serve::<E, _>(function, InBatches(handle)).await
}

async fn serve<E: Event, H: Handle<E>>(function: &'static str, handle: H) -> Result<(), Error> {
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

impl<E, H> Consumer<E, H>
where
    E: Event,
    H: Handle<E>,
{
    async fn batch(&self, batch: LambdaEvent<KafkaEvent>) -> Result<Report, Error> {
        let request_id = &batch.context.request_id;
        // Not every caller sets one: `cargo lambda watch` sends a time long past.
        let deadline = Some(batch.context.deadline()).filter(|end| *end > SystemTime::now());
        let time = Time::until(deadline.map(|end| end - RESERVE));
        let mut report = Report::default();
        for (partition, records) in batch.payload.records {
            let handled = self.partition(&records, request_id, &time).await;
            if let Err(ComesAgain(offset)) = handled {
                let item_identifier = ItemIdentifier { partition, offset };
                report.batch_item_failures.push(Failure { item_identifier });
            }
        }
        Ok(report)
    }

    /// Handles the records of a partition in order: what can be read in as long runs as there are,
    /// and what cannot in its place between them.
    async fn partition(
        &self,
        records: &[KafkaRecord],
        request_id: &str,
        time: &Time,
    ) -> Result<(), ComesAgain> {
        let mut run = Vec::new();
        for record in records {
            let trace = trace(record);
            let span = tracing::info_span!(
                "record",
                requestId = %request_id,
                traceId = %trace.trace_id(),
                function = self.function,
                partition = record.partition,
                offset = record.offset,
            );
            match decode(record) {
                Ok(event) => run.push(Delivery {
                    event,
                    partition: record.partition,
                    offset: record.offset,
                    trace,
                    span,
                }),
                Err(reason) => {
                    self.run(std::mem::take(&mut run), time).await?;
                    let comes_again = ComesAgain(record.offset);
                    if !time.allows_more() {
                        return Err(comes_again);
                    }
                    let aside = trace.scope(self.unreadable(record, reason));
                    aside.instrument(span).await.map_err(|()| comes_again)?;
                }
            }
        }
        self.run(run, time).await
    }

    /// Handles events in a row, and logs and counts what became of each.
    async fn run(&self, run: Vec<Delivery<E>>, time: &Time) -> Result<(), ComesAgain> {
        if run.is_empty() {
            return Ok(());
        }
        let marks: Vec<_> = run.iter().map(Told::of).collect();
        // Boxed, as below: the AWS SDK's futures inside are large and nested too deeply for the
        // compiler.
        let outcomes = Box::pin(self.handle.handle(run, time)).await;
        let mut done = Done::default();
        let mut comes_again = None;
        for (told, outcome) in marks.iter().zip(outcomes) {
            let Told { span, offset, .. } = told;
            match outcome {
                Outcome::Done(effect, took) => {
                    span.in_scope(|| told.took_effect(effect));
                    done.add(took, told.age());
                    continue;
                }
                Outcome::Failed(error) => {
                    span.in_scope(|| told.failed(&error));
                    self.count_failure();
                }
                Outcome::NotStarted => {}
            }
            comes_again.get_or_insert(ComesAgain(*offset));
        }
        done.emit(|| self.metrics());
        comes_again.map_or(Ok(()), Err)
    }

    async fn unreadable(&self, record: &KafkaRecord, reason: Undecodable) -> Result<(), ()> {
        Box::pin(self.put_aside(record, reason))
            .await
            .map_err(|error| {
                tracing::error!(
                    reason = %reason, cause = %error,
                    "the record could not be set aside and will be redelivered"
                );
                self.count_failure();
            })
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

    /// A record that never succeeds holds up its partition, which must be noticed.
    fn count_failure(&self) {
        self.metrics().metric("Failures", Unit::Count, 1.0).emit();
    }

    fn metrics(&self) -> Metrics {
        Metrics::of_function(self.function)
    }
}

/// What is said of an event once it has been handed over.
struct Told {
    span: Span,
    offset: i64,
    id: Uuid,
    patient_id: Uuid,
    kind: &'static str,
    occurred_at: DateTime<Utc>,
}

impl Told {
    fn of<E: Event>(delivery: &Delivery<E>) -> Self {
        let Delivery { event, span, .. } = delivery;
        Self {
            span: span.clone(),
            offset: delivery.offset,
            id: event.id(),
            patient_id: event.patient_id(),
            kind: event.kind(),
            occurred_at: event.occurred_at(),
        }
    }

    fn took_effect(&self, effect: Effect) {
        tracing::info!(
            eventId = %self.id, patientId = %self.patient_id, kind = self.kind,
            effect = effect.name(), "event"
        );
    }

    fn failed(&self, error: &Error) {
        tracing::error!(
            eventId = %self.id, cause = %error, "the event failed and will be redelivered"
        );
    }

    /// How long ago it happened, in milliseconds.
    fn age(&self) -> f64 {
        (Utc::now() - self.occurred_at).as_seconds_f64() * 1000.0
    }
}

/// The metrics of what has been done in a run.
#[derive(Default)]
struct Done {
    durations: Vec<f64>,
    ages: Vec<f64>,
}

impl Done {
    fn add(&mut self, took: Duration, age: f64) {
        self.durations.push(took.as_secs_f64() * 1000.0);
        self.ages.push(age);
    }

    /// One line for many events: each line is paid for.
    fn emit(&self, metrics: impl Fn() -> Metrics) {
        let chunks = self.durations.chunks(MOST_VALUES);
        for (durations, ages) in chunks.zip(self.ages.chunks(MOST_VALUES)) {
            let events = u32::try_from(durations.len()).unwrap_or(u32::MAX);
            metrics()
                .metric("Events", Unit::Count, f64::from(events))
                .values("Duration", Unit::Milliseconds, durations)
                .values("EventAge", Unit::Milliseconds, ages)
                .emit();
        }
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
    use std::{
        cell::RefCell,
        collections::{HashMap, HashSet},
    };

    use aws_sdk_sqs::config::{BehaviorVersion, Credentials, Region, retry::RetryConfig};
    use lambda_runtime::Context;
    use serde_json::{Value, json};
    use tokio::sync::Barrier;

    use super::*;
    use crate::{Change, PatientEvent};

    fn value(version: i64) -> String {
        value_of(Uuid::now_v7(), version)
    }

    fn value_of(patient_id: Uuid, version: i64) -> String {
        let event = PatientEvent {
            id: Uuid::now_v7(),
            occurred_at: Utc::now(),
            patient_id,
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

    /// Passes these records to a consumer that handles them one by one and fails on some versions.
    /// Returns the versions that it was called with, and its report to Lambda.
    async fn consume(partitions: &Value, fails_at: &[i64], seconds_left: u64) -> (Vec<i64>, Value) {
        let called = RefCell::new(Vec::new());
        let handle = OneByOne(async |event: PatientEvent| {
            called.borrow_mut().push(event.patient_version);
            if fails_at.contains(&event.patient_version) {
                return Err(Error::from("as planned"));
            }
            Ok(Effect::Applied)
        });
        let report = report(handle, partitions, seconds_left).await;
        let mut called = called.into_inner();
        called.sort_unstable();
        (called, report)
    }

    /// Passes these records to a consumer. Returns its report to Lambda.
    async fn report(
        handle: impl Handle<PatientEvent>,
        partitions: &Value,
        seconds_left: u64,
    ) -> Value {
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
            handle,
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
        serde_json::to_value(report).unwrap()
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

    /// Passes these records to a consumer in batches, of which it handles so many events each.
    /// Returns the versions in each batch, with its partition, and the report to Lambda.
    async fn consume_batches(
        partitions: &Value,
        (most, fails): (usize, bool),
    ) -> (Vec<(i64, Vec<i64>)>, Value) {
        let batches = RefCell::new(Vec::new());
        let handle = InBatches(async |batch: Batch<'_, PatientEvent>| {
            let versions = batch.events.iter().map(|event| event.patient_version);
            let versions: Vec<_> = versions.collect();
            let effects = versions
                .iter()
                .map(|_| Effect::Applied)
                .take(most)
                .collect();
            let is_short = versions.len() > most;
            batches.borrow_mut().push((batch.partition, versions));
            let failure = (fails && is_short).then(|| Error::from("as planned"));
            Handled { effects, failure }
        });
        let report = report(handle, partitions, 60).await;
        let mut batches = batches.into_inner();
        batches.sort_unstable();
        (batches, report)
    }

    #[tokio::test]
    async fn a_batch_has_all_events_that_a_partition_has_in_a_row() {
        let records = json!({
            "patient.events.v1-3": [
                record(3, 1, &value(1)), record(3, 2, &value(2)), record(3, 3, "AAAA"),
                record(3, 4, &value(4)),
            ],
            "patient.events.v1-4": [record(4, 7, &value(7)), record(4, 8, &value(8))],
        });
        let (batches, report) = consume_batches(&records, (100, true)).await;
        // What is behind a record that could not be set aside has to wait for it.
        assert_eq!(batches, [(3, vec![1, 2]), (4, vec![7, 8])]);
        let expected = json!({ "batchItemFailures": [failed("patient.events.v1-3", 3)] });
        assert_eq!(report, expected);
    }

    #[tokio::test]
    async fn what_a_batch_has_not_handled_is_redelivered() {
        let records = json!({
            "patient.events.v1-3": [
                record(3, 1, &value(1)), record(3, 2, &value(2)), record(3, 5, &value(3)),
            ],
            "patient.events.v1-4": [record(4, 7, &value(7))],
        });
        for (most, offset) in [(0, 1), (1, 2), (2, 5)] {
            for fails in [true, false] {
                let (_, report) = consume_batches(&records, (most, fails)).await;
                let first = &report["batchItemFailures"];
                let mut expected = vec![failed("patient.events.v1-3", offset)];
                if most == 0 {
                    expected.push(failed("patient.events.v1-4", 7));
                }
                let mut reported = first.as_array().unwrap().clone();
                reported.sort_by_key(ToString::to_string);
                assert_eq!(reported, expected, "{most}, {fails}");
            }
        }
    }

    #[tokio::test]
    async fn patients_are_handled_side_by_side_and_each_in_order() {
        let patients = [1, 2, 3].map(Uuid::from_u128);
        let records: Vec<_> = (1..=12)
            .map(|offset| {
                let patient = patients[usize::try_from((offset - 1) / 4).unwrap()];
                record(3, offset, &value_of(patient, offset))
            })
            .collect();
        let records = json!({ "patient.events.v1-3": records });
        // Nobody goes on before all three are there, and nobody is there twice.
        let (all, busy) = (Barrier::new(3), RefCell::new(HashSet::new()));
        let versions = RefCell::new(HashMap::<Uuid, Vec<i64>>::new());
        let handle = async |event: PatientEvent| {
            assert!(busy.borrow_mut().insert(event.patient_id), "twice");
            all.wait().await;
            let mut versions = versions.borrow_mut();
            let of_patient = versions.entry(event.patient_id).or_default();
            of_patient.push(event.patient_version);
            busy.borrow_mut().remove(&event.patient_id);
            Ok(Effect::Applied)
        };
        let handle = SideBySide {
            patients: 3,
            handle,
        };
        let report = report(handle, &records, 60);
        let report = tokio::time::timeout(Duration::from_secs(30), report).await;
        assert_eq!(report.unwrap(), json!({ "batchItemFailures": [] }));
        let versions = versions.into_inner();
        assert_eq!(versions[&patients[0]], [1, 2, 3, 4]);
        assert_eq!(versions[&patients[2]], [9, 10, 11, 12]);
    }

    #[tokio::test]
    async fn nothing_is_started_behind_a_failure_and_what_has_been_started_is_finished() {
        let patients = [1, 2, 3].map(Uuid::from_u128);
        let records: Vec<_> = [(1, 0), (2, 1), (3, 0), (4, 2), (5, 1)]
            .map(|(offset, patient)| record(3, offset, &value_of(patients[patient], offset)))
            .into();
        let records = json!({ "patient.events.v1-3": records });
        let called = RefCell::new(Vec::new());
        let handle = async |event: PatientEvent| {
            called.borrow_mut().push(event.patient_version);
            if event.patient_version == 2 {
                return Err(Error::from("as planned"));
            }
            tokio::task::yield_now().await;
            Ok(Effect::Applied)
        };
        let handle = SideBySide {
            patients: 2,
            handle,
        };
        let report = report(handle, &records, 60).await;
        assert_eq!(called.into_inner(), [1, 2]);
        let expected = json!({ "batchItemFailures": [failed("patient.events.v1-3", 2)] });
        assert_eq!(report, expected);
    }

    #[tokio::test]
    async fn whoever_has_no_time_left_starts_nothing_more() {
        let patients = [1, 2].map(Uuid::from_u128);
        let records = json!({ "patient.events.v1-3": [
            record(3, 1, &value_of(patients[0], 1)), record(3, 2, &value_of(patients[1], 2)),
        ] });
        let called = RefCell::new(0);
        let handle = async |_: PatientEvent| {
            *called.borrow_mut() += 1;
            Ok(Effect::Applied)
        };
        let handle = SideBySide {
            patients: 2,
            handle,
        };
        let report = report(handle, &records, 5).await;
        assert_eq!(called.into_inner(), 1);
        let expected = json!({ "batchItemFailures": [failed("patient.events.v1-3", 2)] });
        assert_eq!(report, expected);
    }
}
