//! The frame that every consumer of patient events runs in: decoding, trace, dead
//! letters, log lines and metrics. What a consumer does with an event is its own.

use std::{future::Future, time::Instant};

use aws_lambda_events::kafka::{KafkaEvent, KafkaRecord};
use aws_sdk_sqs::Client;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use chrono::Utc;
use contracts::TRACEPARENT;
use lambda_runtime::{Error, LambdaEvent, service_fn};
use store::{aws_config, setting};
use telemetry::{Metrics, TraceContext, Unit};
use tokio::sync::OnceCell;
use tracing::Instrument as _;

use crate::{DeadLetter, DeadLetterQueue, PatientEvent, Undecodable};

/// What an event did to the consumer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It had its effect now.
    Applied,
    /// It had its effect before; this was a duplicate.
    AlreadyApplied,
    /// It is of no concern to this consumer.
    Ignored,
}

impl Effect {
    const fn name(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::AlreadyApplied => "already applied",
            Self::Ignored => "ignored",
        }
    }
}

/// Serves batches of records as the Lambda function of this name, until Lambda stops it.
///
/// `handle` is called with one event at a time, in the order of each partition. It must
/// have its effect once per event id. If it fails, the batch fails and comes again.
///
/// # Errors
/// If the Lambda runtime API cannot be reached.
pub async fn consume<H, F>(function: &'static str, handle: H) -> Result<(), Error>
where
    H: Fn(PatientEvent) -> F,
    F: Future<Output = Result<Effect, Error>>,
{
    let consumer = Consumer {
        function,
        handle,
        dead_letters: OnceCell::new(),
    };
    let consumer = &consumer;
    lambda_runtime::run(service_fn(|batch: LambdaEvent<KafkaEvent>| {
        consumer.batch(batch)
    }))
    .await
}

struct Consumer<H> {
    function: &'static str,
    handle: H,
    dead_letters: OnceCell<DeadLetterQueue>,
}

impl<H, F> Consumer<H>
where
    H: Fn(PatientEvent) -> F,
    F: Future<Output = Result<Effect, Error>>,
{
    async fn batch(&self, batch: LambdaEvent<KafkaEvent>) -> Result<(), Error> {
        let request_id = batch.context.request_id;
        for record in batch.payload.records.into_values().flatten() {
            let trace = trace(&record);
            let span = tracing::info_span!(
                "record",
                requestId = %request_id,
                traceId = %trace.trace_id(),
                function = self.function,
                partition = record.partition,
                offset = record.offset,
            );
            trace.scope(self.record(&record)).instrument(span).await?;
        }
        Ok(())
    }

    async fn record(&self, record: &KafkaRecord) -> Result<(), Error> {
        let started = Instant::now();
        let event = match decode(record) {
            Ok(event) => event,
            Err(reason) => return Box::pin(self.put_aside(record, reason)).await,
        };
        let (id, patient_id, kind) = (event.id, event.patient_id, event.change.kind());
        let age = Utc::now() - event.occurred_at;
        // Boxed, as above: the AWS SDK's futures inside are large, and nest too deep for
        // the compiler.
        let effect = Box::pin((self.handle)(event)).await.inspect_err(|error| {
            tracing::error!(eventId = %id, cause = %error, "the event will come again");
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
            .send(&DeadLetter {
                consumer: self.function.to_owned(),
                topic: record.topic.clone().unwrap_or_default(),
                partition: record.partition,
                offset: record.offset,
                reason: reason.to_string(),
                key: record.key.clone(),
                value: record.value.clone(),
            })
            .await?;
        tracing::error!(cause = %reason, "the record went to the dead-letter queue");
        self.metrics()
            .metric("DeadLetters", Unit::Count, 1.0)
            .emit();
        Ok(())
    }

    fn metrics(&self) -> Metrics {
        Metrics::new().dimension("Function", self.function)
    }
}

fn decode(record: &KafkaRecord) -> Result<PatientEvent, Undecodable> {
    let value = record.value.as_deref().ok_or(Undecodable("no value"))?;
    let bytes = STANDARD
        .decode(value)
        .map_err(|_| Undecodable("not base64"))?;
    PatientEvent::decode(&bytes)
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
