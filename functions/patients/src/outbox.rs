//! How the rest of the system hears of a change to a patient.
//!
//! What others must hear of is written to the outbox in the transaction that makes it
//! true. The request then tries to deliver it at once; what that leaves, the relay
//! delivers. One delivery per patient at a time, in the order of the changes, so that
//! nobody hears of an update before the creation. A delivery that breaks off between the
//! call and the row's deletion is repeated: whoever is told has an effect once per id.

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
use telemetry::TraceContext;
use tracing::Instrument as _;
use uuid::Uuid;

use crate::patient::Patient;

/// How long a request stays to deliver its own changes. Most take milliseconds; a
/// dependency that is down must not make the clinic wait.
const AT_ONCE: Duration = Duration::from_millis(1500);

/// When a request begins no further call: what it has delivered by then is to be deleted
/// before [`AT_ONCE`] is over, and not delivered twice.
const LAST_CALL: Duration = Duration::from_secs(1);

/// How many messages are sent in one transaction: so many may come twice if it fails.
const TURN: usize = 20;

/// For how long a transaction sends. The last call may take two seconds more, and the database
/// ends a transaction in which nothing happens for 15 seconds.
const LONGEST_TURN: Duration = Duration::from_secs(3);

/// After how many seconds a message that was refused is tried again. Every further time
/// it takes twice as long, up to the longest; and up to half of it less, so that those
/// who were refused together do not come back together.
const REFUSED_FOR: f64 = 60.0;

/// The longest that takes, in seconds: how long after its receiver was put right a message
/// may be left.
const REFUSED_FOR_AT_MOST: f64 = 1800.0;

/// For how many seconds a patient is passed over whose delivery failed in the database.
const FAILED_FOR: f64 = 60.0;

/// Who gets messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Receiver {
    /// The billing service.
    Billing,
    /// Kafka.
    Kafka,
}

/// What a message is, which says who gets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MessageKind {
    /// A request to the billing service to open an account.
    BillingAccount,
    /// A request to the billing service to close it. The schema's trigger
    /// `billing_account_is_closed` writes it when a patient is deleted.
    BillingClosure,
    /// An event for Kafka.
    PatientEvent,
}

impl MessageKind {
    pub(crate) const ALL: [Self; 3] = [
        Self::BillingAccount,
        Self::BillingClosure,
        Self::PatientEvent,
    ];

    /// The name in the database.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::BillingAccount => "BILLING_ACCOUNT",
            Self::BillingClosure => "BILLING_CLOSURE",
            Self::PatientEvent => "PATIENT_EVENT",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    const fn receiver(self) -> Receiver {
        match self {
            Self::BillingAccount | Self::BillingClosure => Receiver::Billing,
            Self::PatientEvent => Receiver::Kafka,
        }
    }
}

impl Receiver {
    /// The names of the kinds of messages that it gets.
    pub(crate) fn kinds(self) -> Vec<String> {
        MessageKind::ALL
            .into_iter()
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

/// Has the change, which made the patient what they are now, announced on Kafka.
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
    /// Kafka did not take the event.
    #[error("the event could not be sent")]
    Kafka(#[from] ProducerError),
    /// The row is not what this version of the code writes.
    #[error("the message cannot be read")]
    Unreadable,
    /// Nobody waits for the answer any longer.
    #[error("there was no answer before the time was up")]
    TimeIsUp,
}

impl DeliveryError {
    /// Whether the message itself is to blame.
    const fn is_refusal(&self) -> bool {
        !matches!(self, Self::Database(_) | Self::TimeIsUp) && !self.is_outage()
    }

    /// Whether nobody's message can be taken at the moment, whatever it says: the receiver is
    /// down, too slow, or does not know us.
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

/// Delivers what is in the outbox: accounts to the billing service, events to Kafka.
/// Connects to either with the first message for it.
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
    /// When a call is given up, if that is before its own time-out.
    end: Option<Instant>,
}

/// Who delivers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    /// The request that made the change: everything, and after whoever else is at it.
    Request,
    /// The relay: what is for this receiver, unless somebody else is at it.
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
    /// Whether it ended only because it was long enough.
    is_cut_short: bool,
}

store::from_environment!(Delivery);

impl Delivery {
    /// Delivers to `BILLING_URL` and `KAFKA_BOOTSTRAP_SERVERS`.
    ///
    /// # Errors
    /// If a setting is missing or cannot be read.
    pub fn from_env() -> Result<Self, api::Error> {
        let brokers = setting("KAFKA_BOOTSTRAP_SERVERS")?;
        Ok(Self::new(BillingClient::from_env()?, &brokers))
    }

    /// Delivers to these.
    #[must_use]
    pub fn new(billing: BillingClient, brokers: &str) -> Self {
        Self {
            billing,
            producer: Arc::new(Producer::new(brokers, PATIENT_EVENTS_TOPIC)),
        }
    }

    /// Tries to deliver everything of this patient, for a short time. What it leaves is
    /// the relay's: the client is not told, because nothing is lost.
    pub async fn deliver_now(&self, database: &PgPool, patient_id: Uuid) {
        let now = Instant::now();
        let time = Time {
            last_call: now + LAST_CALL,
            end: Some(now + AT_ONCE),
        };
        let (delivery, database) = (self.clone(), database.clone());
        // A task of its own: a transaction that is given up half-way is in doubt. It ends in
        // time unless the database is slow, and then without this request.
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
                tracing::warn!(cause = "time-out", patientId = %patient_id, "left to the relay");
            }
        }
    }

    /// Delivers what is due of this patient to this receiver, up to the first message for
    /// somebody else, unless another delivery is at it. Begins no call after `until`, and ends
    /// after a few seconds, so that others get their turn. Answers how many messages it
    /// delivered.
    ///
    /// # Errors
    /// With the first message that cannot be delivered. Those before it are.
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
        // Boxed: the clients' futures are too deep for the compiler to lay out in the caller's.
        Ok(Box::pin(turn).await?.delivered)
    }

    async fn deliver(
        &self,
        database: &PgPool,
        patient_id: Uuid,
        time: Time,
    ) -> Result<(), DeliveryError> {
        loop {
            // Whoever adds a message after we looked waits for the lock.
            let turn = self.turn(database, patient_id, By::Request, time).await?;
            if !turn.is_cut_short || Instant::now() >= time.last_call {
                return Ok(());
            }
        }
    }

    /// One transaction, in which the patient's deliveries are ours: the lock is held until it
    /// ends, and is gone with the connection if this process dies.
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
        // Ended here even where nothing was done: a process that is frozen after its
        // answer would keep the lock.
        transaction.commit().await?;
        match failure {
            Some((_, failure)) => Err(failure),
            None => Ok(Turn {
                delivered: sent.len(),
                is_cut_short: next.is_some(),
            }),
        }
    }

    /// Sends in order: up to the first message that fails or is not ours, as many as go into
    /// one transaction, or until the time is up.
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

/// The patient's next messages in their order, one more than is sent in a transaction; none
/// while the first of them waits for another try.
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

/// Has a message that was refused wait for its next try.
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

/// Has a patient who has had a turn wait for theirs behind everybody who waits now. `sequence`
/// is their next message.
async fn put_last(transaction: &mut Transaction, sequence: i64) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE patients.outbox SET not_before = clock_timestamp() WHERE sequence = $1",
        sequence,
    )
    .execute(transaction)
    .await?;
    Ok(())
}

/// Has a patient passed over for a while whose delivery failed in the database, unless
/// somebody else is at their messages.
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
    // 64 bits of the id: two patients that share them only wait for each other.
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
