//! How the rest of the system learns of a change to a patient.
//!
//! Whatever others must learn of is written to the outbox, in the transaction that makes it true.
//! The request then tries to deliver it at once; the relay delivers what is left. There is one
//! delivery per patient at a time, in the order of the changes, so that nobody learns of an update
//! before the creation. A delivery that is interrupted between the call and the deletion of the row
//! is repeated: receivers act only once on each id.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use billing_client::{BillingClient, BillingError};
use contracts::{PATIENT_EVENTS_TOPIC, billing::v1::CreateBillingAccountRequest};
use events::{Change, PatientEvent, Producer, ProducerError};
use prost::Message as _;
use sqlx::PgPool;
use store::{Transaction, setting};
use strum::VariantArray as _;
use telemetry::TraceContext;
use tracing::Instrument as _;
use uuid::Uuid;

use crate::patient::Patient;

/// How long a request takes to deliver its own changes. Most deliveries take milliseconds; a
/// dependency that is down must not make the clinic wait.
const AT_ONCE: Duration = Duration::from_millis(1500);

/// When a request stops making calls, so that what it has delivered is deleted before [`AT_ONCE`]
/// is over, and not delivered twice.
const LAST_CALL: Duration = Duration::from_secs(1);

/// How many messages are sent in one transaction. If it fails, as many may be sent twice.
const TURN: usize = 20;

/// How long a transaction makes calls. The last call may take two seconds more, and the database
/// ends a transaction that has been idle for 15 seconds.
const LONGEST_TURN: Duration = Duration::from_secs(3);

/// How many seconds after a rejection a message is retried. The delay doubles each time, up to the
/// longest, minus a random part of up to one half, so that messages that were rejected together are
/// not retried together.
const REFUSED_FOR: f64 = 60.0;

/// The longest delay, in seconds: how long a message may have to wait after its receiver has been
/// repaired.
const REFUSED_FOR_AT_MOST: f64 = 1800.0;

/// For how many seconds a patient is skipped whose delivery failed in the database.
const FAILED_FOR: f64 = 60.0;

/// Where messages go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Receiver {
    /// The billing service.
    Billing,
    /// Kafka.
    Kafka,
}

/// The kind of a message, which determines its receiver.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, strum::EnumString, strum::IntoStaticStr, strum::VariantArray,
)]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum MessageKind {
    /// A request to the billing service to open the account.
    BillingAccount,
    /// A request to the billing service to close the account. The schema's trigger
    /// `billing_account_is_closed` writes it when a patient is deleted.
    BillingClosure,
    /// An event for Kafka.
    PatientEvent,
}

impl MessageKind {
    /// The name in the database.
    pub(crate) fn name(self) -> &'static str {
        self.into()
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        name.parse().ok()
    }

    const fn receiver(self) -> Receiver {
        match self {
            Self::BillingAccount | Self::BillingClosure => Receiver::Billing,
            Self::PatientEvent => Receiver::Kafka,
        }
    }
}

impl Receiver {
    /// The names of the kinds of messages that this receiver gets.
    pub(crate) fn kinds(self) -> Vec<String> {
        let kinds = MessageKind::VARIANTS.iter().copied();
        kinds
            .filter(|kind| kind.receiver() == self)
            .map(|kind| kind.name().to_owned())
            .collect()
    }
}

/// Has a billing account opened for the patient.
///
/// # Errors
/// If the database fails.
pub async fn open_billing_account(
    transaction: &mut Transaction,
    patient: &Patient,
) -> Result<(), sqlx::Error> {
    let request = CreateBillingAccountRequest {
        patient_id: patient.id.to_string(),
        name: patient.name.clone(),
        email: patient.email.clone(),
    };
    let id = Uuid::now_v7();
    write(
        transaction,
        patient.id,
        id,
        MessageKind::BillingAccount,
        request.encode_to_vec(),
    )
    .await
}

/// Has the change that led to this state of the patient announced on Kafka.
///
/// # Errors
/// If the database fails.
pub async fn announce(
    transaction: &mut Transaction,
    patient: &Patient,
    change: Change,
) -> Result<(), sqlx::Error> {
    let event = PatientEvent {
        id: Uuid::now_v7(),
        occurred_at: patient.updated_at,
        patient_id: patient.id,
        patient_version: patient.version,
        change,
    };
    write(
        transaction,
        patient.id,
        event.id,
        MessageKind::PatientEvent,
        event.encode(),
    )
    .await
}

async fn write(
    transaction: &mut Transaction,
    patient_id: Uuid,
    message_id: Uuid,
    kind: MessageKind,
    payload: Vec<u8>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO patients.outbox (patient_id, message_id, kind, payload, traceparent)
         VALUES ($1, $2, $3, $4, $5)",
        patient_id,
        message_id,
        kind.name(),
        payload,
        TraceContext::current().next_step().to_string(),
    )
    .execute(transaction)
    .await?;
    Ok(())
}

/// Why a message is still in the outbox.
#[derive(Debug, thiserror::Error)]
pub enum DeliveryError {
    /// The database failed.
    #[error("the outbox cannot be read or written")]
    Database(#[from] sqlx::Error),
    /// The billing service did not open or close the account.
    #[error("the billing account could not be opened or closed")]
    Billing(#[from] BillingError),
    /// Kafka did not accept the event.
    #[error("the event could not be sent")]
    Kafka(#[from] ProducerError),
    /// The row is not what this version of the code writes.
    #[error("the message cannot be read")]
    Unreadable,
    /// The time for the delivery was over.
    #[error("there was no response before the time was up")]
    TimeIsUp,
}

impl DeliveryError {
    /// Whether the message itself was rejected.
    const fn is_refusal(&self) -> bool {
        !matches!(self, Self::Database(_) | Self::TimeIsUp) && !self.is_outage()
    }

    /// Whether the receiver cannot accept any message at the moment, whatever it contains: it is
    /// down, too slow, or rejects our credentials.
    pub(crate) const fn is_outage(&self) -> bool {
        match self {
            Self::Billing(error) => matches!(
                error,
                BillingError::Unavailable(_) | BillingError::Unauthenticated
            ),
            Self::Kafka(error) => !error.is_refusal(),
            _ => false,
        }
    }
}

/// Delivers what is in the outbox: accounts to the billing service, events to Kafka. Connects to
/// each on the first message for it.
#[derive(Debug, Clone)]
pub struct Delivery {
    billing: BillingClient,
    producer: Arc<Producer>,
}

/// How long a delivery may take.
#[derive(Debug, Clone, Copy)]
struct Time {
    /// When the last call may begin.
    last_call: Instant,
    /// When a call is abandoned, if that is before its own timeout.
    end: Option<Instant>,
}

/// Who delivers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    /// The request that made the change: it delivers everything, and waits for any other delivery.
    Request,
    /// The relay: it delivers only what is for this receiver, and only if no other delivery is in
    /// progress.
    Relay(Receiver),
}

impl By {
    fn delivers(self, message: &Waiting) -> bool {
        match self {
            Self::Request => true,
            Self::Relay(receiver) => {
                MessageKind::named(&message.kind).is_some_and(|kind| kind.receiver() == receiver)
            }
        }
    }
}

/// What one transaction has delivered.
struct Turn {
    delivered: usize,
    /// Whether it ended only because it had reached its limit.
    is_cut_short: bool,
}

store::from_environment!(Delivery);

impl Delivery {
    /// Delivers to `BILLING_URL` and `KAFKA_BOOTSTRAP_SERVERS`.
    ///
    /// # Errors
    /// If a setting is missing or cannot be parsed.
    pub fn from_env() -> Result<Self, api::Error> {
        let brokers = setting("KAFKA_BOOTSTRAP_SERVERS")?;
        Ok(Self::new(BillingClient::from_env()?, &brokers))
    }

    /// Delivers with this client and to these brokers.
    #[must_use]
    pub fn new(billing: BillingClient, brokers: &str) -> Self {
        Self {
            billing,
            producer: Arc::new(Producer::new(brokers, PATIENT_EVENTS_TOPIC)),
        }
    }

    /// Tries to deliver everything of this patient, for a short time. The rest is left to the
    /// relay: the client is not told, because nothing is lost.
    pub async fn deliver_now(&self, database: &PgPool, patient_id: Uuid) {
        let now = Instant::now();
        let time = Time {
            last_call: now + LAST_CALL,
            end: Some(now + AT_ONCE),
        };
        let (delivery, database) = (self.clone(), database.clone());
        // A task of its own, because the outcome of an abandoned transaction is unknown. It ends in
        // time unless the database is slow; then it continues without this request.
        let delivery = tokio::spawn(
            async move { Box::pin(delivery.deliver(&database, patient_id, time)).await }
                .in_current_span(),
        );
        match tokio::time::timeout(AT_ONCE, delivery).await {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(error))) => {
                let cause = &error as &dyn std::error::Error;
                tracing::warn!(cause, patientId = %patient_id, "left to the relay");
            }
            Ok(Err(_)) => {
                tracing::error!(cause = "panic", patientId = %patient_id, "left to the relay");
            }
            Err(_) => {
                tracing::warn!(cause = "timeout", patientId = %patient_id, "left to the relay");
            }
        }
    }

    /// Delivers the messages of this patient that are due and for this receiver, up to the first
    /// one for the other receiver, unless another delivery is in progress. Makes no call after
    /// `until`, and ends after a few seconds so that other patients get their turn. Returns how
    /// many messages it delivered.
    ///
    /// # Errors
    /// The failure of the first message that cannot be delivered. Those before it are delivered.
    pub async fn relay(
        &self,
        database: &PgPool,
        patient_id: Uuid,
        receiver: Receiver,
        until: Instant,
    ) -> Result<usize, DeliveryError> {
        let time = Time {
            last_call: until,
            end: None,
        };
        let turn = self.turn(database, patient_id, By::Relay(receiver), time);
        // Boxed: the clients' futures are nested too deeply for the compiler to lay them out
        // inline.
        Ok(Box::pin(turn).await?.delivered)
    }

    async fn deliver(
        &self,
        database: &PgPool,
        patient_id: Uuid,
        time: Time,
    ) -> Result<(), DeliveryError> {
        loop {
            // Whoever adds a message after our look at the outbox waits for the lock.
            let turn = self.turn(database, patient_id, By::Request, time).await?;
            if !turn.is_cut_short || Instant::now() >= time.last_call {
                return Ok(());
            }
        }
    }

    /// One transaction with exclusive access to the patient's deliveries: the lock is held until it
    /// ends, and disappears with the connection if this process dies.
    async fn turn(
        &self,
        database: &PgPool,
        patient_id: Uuid,
        by: By,
        time: Time,
    ) -> Result<Turn, DeliveryError> {
        let mut transaction = Transaction::begin(database).await?;
        let messages = if lock(&mut transaction, patient_id, by).await? {
            due(&mut transaction, patient_id).await?
        } else {
            Vec::new()
        };
        let (sent, failure) = self.send_all(patient_id, &messages, by, time).await;
        if !sent.is_empty() {
            sqlx::query!(
                "DELETE FROM patients.outbox WHERE sequence = ANY($1)",
                &sent
            )
            .execute(&mut transaction)
            .await?;
        }
        if let Some((sequence, failure)) = &failure
            && failure.is_refusal()
        {
            try_later(&mut transaction, *sequence).await?;
        }
        let next = messages.get(sent.len()).filter(|next| by.delivers(next));
        let next = next.filter(|_| failure.is_none());
        if let (Some(next), By::Relay(_), false) = (next, by, sent.is_empty()) {
            put_last(&mut transaction, next.sequence).await?;
        }
        // Ended here even if nothing was done: a process that is frozen after its response would
        // keep the lock.
        transaction.commit().await?;
        match failure {
            Some((_, failure)) => Err(failure),
            None => Ok(Turn {
                delivered: sent.len(),
                is_cut_short: next.is_some(),
            }),
        }
    }

    /// Sends in order: up to the first message that fails or is for another receiver, up to the
    /// limit of a transaction, or until the time is up.
    async fn send_all(
        &self,
        patient_id: Uuid,
        messages: &[Waiting],
        by: By,
        time: Time,
    ) -> (Vec<i64>, Option<(i64, DeliveryError)>) {
        let last_call = time.last_call.min(Instant::now() + LONGEST_TURN);
        let mut sent = Vec::with_capacity(messages.len());
        for message in messages.iter().take(TURN) {
            if !by.delivers(message) || Instant::now() >= last_call {
                break;
            }
            let trace = message
                .traceparent
                .parse()
                .unwrap_or_else(|_| TraceContext::start());
            let call = trace.scope(self.send(patient_id, message));
            let answered = match time.end {
                Some(end) => tokio::time::timeout_at(end.into(), call)
                    .await
                    .unwrap_or(Err(DeliveryError::TimeIsUp)),
                None => call.await,
            };
            match answered {
                Ok(()) => sent.push(message.sequence),
                Err(failure) => return (sent, Some((message.sequence, failure))),
            }
        }
        (sent, None)
    }

    async fn send(&self, patient_id: Uuid, message: &Waiting) -> Result<(), DeliveryError> {
        match MessageKind::named(&message.kind) {
            Some(MessageKind::BillingAccount) => {
                let request = CreateBillingAccountRequest::decode(message.payload.as_slice())
                    .map_err(|_| DeliveryError::Unreadable)?;
                let call = self
                    .billing
                    .create_account(patient_id, &request.name, &request.email);
                call.await?;
            }
            Some(MessageKind::BillingClosure) => {
                self.billing.close_account(patient_id).await?;
            }
            Some(MessageKind::PatientEvent) => {
                self.producer
                    .send(
                        patient_id,
                        message.message_id,
                        message.traceparent.clone(),
                        message.payload.clone(),
                    )
                    .await?;
            }
            None => return Err(DeliveryError::Unreadable),
        }
        Ok(())
    }
}

struct Waiting {
    sequence: i64,
    message_id: Uuid,
    kind: String,
    payload: Vec<u8>,
    traceparent: String,
    due: bool,
}

/// The patient's next messages in order, one more than is sent in a transaction; none while the
/// first of them waits to be retried.
async fn due(transaction: &mut Transaction, patient_id: Uuid) -> Result<Vec<Waiting>, sqlx::Error> {
    let messages = sqlx::query_as!(
        Waiting,
        r#"SELECT sequence, message_id, kind, payload, traceparent,
                  not_before <= clock_timestamp() AS "due!"
         FROM patients.outbox
         WHERE patient_id = $1
         ORDER BY sequence
         LIMIT $2"#,
        patient_id,
        i64::try_from(TURN + 1).unwrap_or(i64::MAX),
    )
    .fetch_all(transaction)
    .await?;
    let first_is_due = messages.first().is_some_and(|first| first.due);
    Ok(if first_is_due { messages } else { Vec::new() })
}

/// Delays the next attempt at a message that was rejected.
async fn try_later(transaction: &mut Transaction, sequence: i64) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE patients.outbox
         SET attempts = attempts + 1,
             not_before = clock_timestamp() + make_interval(
                 secs => least($2 * power(2, least(attempts, 20)), $3) * (1 - random() / 2)
             )
         WHERE sequence = $1",
        sequence,
        REFUSED_FOR,
        REFUSED_FOR_AT_MOST,
    )
    .execute(transaction)
    .await?;
    Ok(())
}

/// Moves a patient who has had a turn behind everybody who is waiting now. `sequence` is their next
/// message.
async fn put_last(transaction: &mut Transaction, sequence: i64) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE patients.outbox SET not_before = clock_timestamp() WHERE sequence = $1",
        sequence,
    )
    .execute(transaction)
    .await?;
    Ok(())
}

/// Skips a patient whose delivery failed in the database for a while, unless another transaction
/// has locked their next message.
pub(crate) async fn put_off(database: &PgPool, patient_id: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE patients.outbox
         SET not_before = clock_timestamp() + make_interval(secs => $2)
         WHERE sequence = (
             SELECT sequence FROM patients.outbox
             WHERE patient_id = $1
             ORDER BY sequence
             LIMIT 1
             FOR UPDATE SKIP LOCKED
         )",
        patient_id,
        FAILED_FOR,
    )
    .execute(database)
    .await?;
    Ok(())
}

/// Takes the lock on the deliveries of this patient until the transaction ends.
async fn lock(
    transaction: &mut Transaction,
    patient_id: Uuid,
    by: By,
) -> Result<bool, sqlx::Error> {
    // 64 bits of the id: two patients with the same bits only wait for each other.
    let (high, low) = patient_id.as_u64_pair();
    let key = (high ^ low).cast_signed();
    match by {
        By::Request => {
            sqlx::query!("SELECT pg_advisory_xact_lock($1)", key)
                .execute(transaction)
                .await?;
            Ok(true)
        }
        By::Relay(_) => {
            let locked = sqlx::query_scalar!("SELECT pg_try_advisory_xact_lock($1)", key)
                .fetch_one(transaction)
                .await?;
            Ok(locked.unwrap_or(false))
        }
    }
}
