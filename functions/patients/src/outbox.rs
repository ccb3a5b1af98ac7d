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

/// How many messages of one patient are delivered in one go.
const BATCH: i64 = 50;

/// After how many seconds a message that was refused is tried again. Every further time
/// it takes twice as long, up to the longest; and up to half of it less, so that those
/// who were refused together do not come back together.
const REFUSED_FOR: f64 = 60.0;

/// The longest that takes, in seconds: how long after its receiver was put right a message
/// may be left.
const REFUSED_FOR_AT_MOST: f64 = 1800.0;

/// What a message is, which says who gets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MessageKind {
    /// A request to the billing service.
    BillingAccount,
    /// An event for Kafka.
    PatientEvent,
}

impl MessageKind {
    pub(crate) const ALL: [Self; 2] = [Self::BillingAccount, Self::PatientEvent];

    /// The name in the database.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::BillingAccount => "BILLING_ACCOUNT",
            Self::PatientEvent => "PATIENT_EVENT",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
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
    /// The billing service did not open the account.
    #[error("the billing account could not be opened")]
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
        !matches!(self, Self::Database(_) | Self::TimeIsUp) && self.unavailable().is_none()
    }

    /// The kind of message that nobody can take at the moment, whatever it says: the
    /// receiver is down, too slow, or does not know us. None if the message was refused.
    pub(crate) const fn unavailable(&self) -> Option<MessageKind> {
        match self {
            Self::Billing(BillingError::Unavailable(_) | BillingError::Unauthenticated) => {
                Some(MessageKind::BillingAccount)
            }
            Self::Kafka(error) if !error.is_refusal() => Some(MessageKind::PatientEvent),
            _ => None,
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

/// Whether a delivery waits for another one of the same patient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Contention {
    Wait,
    LeaveIt,
}

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
            async move {
                Box::pin(delivery.deliver(&database, patient_id, Contention::Wait, time)).await
            }
            .in_current_span(),
        );
        match tokio::time::timeout(AT_ONCE, delivery).await {
            Ok(Ok(Ok(_))) => {}
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

    /// Delivers what is due of this patient, unless somebody else is at it, and begins no
    /// call after `until`. Answers how many messages it delivered.
    ///
    /// # Errors
    /// With the first message that cannot be delivered. Those before it are.
    pub async fn relay(
        &self,
        database: &PgPool,
        patient_id: Uuid,
        until: Instant,
    ) -> Result<usize, DeliveryError> {
        let time = Time {
            last_call: until,
            end: None,
        };
        let delivery = self.deliver(database, patient_id, Contention::LeaveIt, time);
        // Boxed: the clients' futures are too deep for the compiler to lay out in the caller's.
        Box::pin(delivery).await
    }

    async fn deliver(
        &self,
        database: &PgPool,
        patient_id: Uuid,
        contention: Contention,
        time: Time,
    ) -> Result<usize, DeliveryError> {
        let mut delivered = 0;
        loop {
            // The lock on the patient's deliveries is held until the transaction ends,
            // and is gone with the connection if this process dies.
            let mut transaction = Transaction::begin(database).await?;
            let messages = if lock(&mut transaction, patient_id, contention).await? {
                due(&mut transaction, patient_id).await?
            } else {
                Vec::new()
            };
            let (sent, failure) = self.send_all(patient_id, &messages, time).await;
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
            // Ended here even where nothing was done: a process that is frozen after its
            // answer would keep the lock.
            transaction.commit().await?;
            delivered += sent.len();
            if let Some((_, failure)) = failure {
                return Err(failure);
            }
            // Whoever adds a message after we looked waits for the lock.
            if i64::try_from(sent.len()).is_ok_and(|sent| sent < BATCH) {
                return Ok(delivered);
            }
        }
    }

    /// Sends in order, up to the first message that fails, or until the time is up.
    async fn send_all(
        &self,
        patient_id: Uuid,
        messages: &[Waiting],
        time: Time,
    ) -> (Vec<i64>, Option<(i64, DeliveryError)>) {
        let mut sent = Vec::with_capacity(messages.len());
        for message in messages {
            if Instant::now() >= time.last_call {
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

/// The patient's next messages in their order; none while the first of them waits for
/// another try.
async fn due(transaction: &mut Transaction, patient_id: Uuid) -> Result<Vec<Waiting>, sqlx::Error> {
    let messages = sqlx::query_as!(
        Waiting,
        r#"SELECT sequence, message_id, kind, payload, traceparent,
                  not_before <= now() AS "due!"
         FROM patients.outbox
         WHERE patient_id = $1
         ORDER BY sequence
         LIMIT $2"#,
        patient_id,
        BATCH,
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

/// Takes the lock on the deliveries of this patient until the transaction ends.
async fn lock(
    transaction: &mut Transaction,
    patient_id: Uuid,
    contention: Contention,
) -> Result<bool, sqlx::Error> {
    // 64 bits of the id: two patients that share them only wait for each other.
    let (high, low) = patient_id.as_u64_pair();
    let key = (high ^ low).cast_signed();
    match contention {
        Contention::Wait => {
            sqlx::query!("SELECT pg_advisory_xact_lock($1)", key)
                .execute(transaction)
                .await?;
            Ok(true)
        }
        Contention::LeaveIt => {
            let locked = sqlx::query_scalar!("SELECT pg_try_advisory_xact_lock($1)", key)
                .fetch_one(transaction)
                .await?;
            Ok(locked.unwrap_or(false))
        }
    }
}
