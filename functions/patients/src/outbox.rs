//! How the rest of the system hears of a change to a patient.
//!
//! What others must hear of is written to the outbox in the transaction that makes it
//! true. The request then tries to deliver it at once; what that leaves, the relay
//! delivers. One delivery per patient at a time, in the order of the changes, so that
//! nobody hears of an update before the creation. A delivery that breaks off between the
//! call and the row's deletion is repeated: whoever is told has an effect once per id.

use std::{sync::Arc, time::Duration};

use billing_client::{BillingClient, BillingError};
use contracts::{PATIENT_EVENTS_TOPIC, billing::v1::CreateBillingAccountRequest};
use events::{Change, PatientEvent, Producer, ProducerError};
use prost::Message as _;
use sqlx::{PgConnection, PgPool};
use store::setting;
use telemetry::TraceContext;
use uuid::Uuid;

use crate::patient::Patient;

/// How long a request stays to deliver its own changes. Most take milliseconds; a
/// dependency that is down must not make the clinic wait.
const AT_ONCE: Duration = Duration::from_millis(1500);

/// How many messages of one patient are delivered in one go.
const BATCH: i64 = 50;

/// Has a billing account opened for the patient.
///
/// # Errors
/// If the database fails.
pub async fn open_billing_account(
    transaction: &mut PgConnection,
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
        "BILLING_ACCOUNT",
        request.encode_to_vec(),
    )
    .await
}

/// Has the change, which made the patient what they are now, announced on Kafka.
///
/// # Errors
/// If the database fails.
pub async fn announce(
    transaction: &mut PgConnection,
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
        "PATIENT_EVENT",
        event.encode(),
    )
    .await
}

async fn write(
    transaction: &mut PgConnection,
    patient_id: Uuid,
    message_id: Uuid,
    kind: &str,
    payload: Vec<u8>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO patients.outbox (patient_id, message_id, kind, payload, traceparent)
         VALUES ($1, $2, $3, $4, $5)",
        patient_id,
        message_id,
        kind,
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
}

/// Delivers what is in the outbox: accounts to the billing service, events to Kafka.
/// Connects to either with the first message for it.
#[derive(Debug, Clone)]
pub struct Delivery {
    billing: BillingClient,
    producer: Arc<Producer>,
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
        let delivery = Box::pin(self.deliver(database, patient_id, Contention::Wait));
        match tokio::time::timeout(AT_ONCE, delivery).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => {
                let cause = &error as &dyn std::error::Error;
                tracing::warn!(cause, patientId = %patient_id, "left to the relay");
            }
            Err(_) => {
                tracing::warn!(cause = "time-out", patientId = %patient_id, "left to the relay");
            }
        }
    }

    /// Delivers everything of this patient, unless somebody else is at it. Answers how
    /// many messages it delivered.
    ///
    /// # Errors
    /// With the first message that cannot be delivered. Those before it are.
    pub async fn relay(&self, database: &PgPool, patient_id: Uuid) -> Result<usize, DeliveryError> {
        let delivery = self.deliver(database, patient_id, Contention::LeaveIt);
        // Boxed: the clients' futures are too deep for the compiler to lay out in the caller's.
        Box::pin(delivery).await
    }

    async fn deliver(
        &self,
        database: &PgPool,
        patient_id: Uuid,
        contention: Contention,
    ) -> Result<usize, DeliveryError> {
        let mut delivered = 0;
        loop {
            // The lock on the patient's deliveries is held until the transaction ends,
            // and is gone with the connection if this process dies.
            let mut transaction = database.begin().await?;
            if !lock(&mut transaction, patient_id, contention).await? {
                return Ok(delivered);
            }
            let messages = sqlx::query_as!(
                Waiting,
                "SELECT sequence, message_id, kind, payload, traceparent
                 FROM patients.outbox
                 WHERE patient_id = $1
                 ORDER BY sequence
                 LIMIT $2",
                patient_id,
                BATCH,
            )
            .fetch_all(&mut *transaction)
            .await?;
            if messages.is_empty() {
                return Ok(delivered);
            }

            let (sent, failure) = self.send_all(patient_id, &messages).await;
            sqlx::query!(
                "DELETE FROM patients.outbox WHERE sequence = ANY($1)",
                &sent
            )
            .execute(&mut *transaction)
            .await?;
            transaction.commit().await?;
            delivered += sent.len();
            if let Some(failure) = failure {
                return Err(failure);
            }
        }
    }

    /// Sends in order, up to the first message that fails.
    async fn send_all(
        &self,
        patient_id: Uuid,
        messages: &[Waiting],
    ) -> (Vec<i64>, Option<DeliveryError>) {
        let mut sent = Vec::with_capacity(messages.len());
        for message in messages {
            let trace = message
                .traceparent
                .parse()
                .unwrap_or_else(|_| TraceContext::start());
            match trace.scope(self.send(patient_id, message)).await {
                Ok(()) => sent.push(message.sequence),
                Err(failure) => return (sent, Some(failure)),
            }
        }
        (sent, None)
    }

    async fn send(&self, patient_id: Uuid, message: &Waiting) -> Result<(), DeliveryError> {
        match message.kind.as_str() {
            "BILLING_ACCOUNT" => {
                let request = CreateBillingAccountRequest::decode(message.payload.as_slice())
                    .map_err(|_| DeliveryError::Unreadable)?;
                let call = self
                    .billing
                    .create_account(patient_id, &request.name, &request.email);
                call.await?;
            }
            "PATIENT_EVENT" => {
                self.producer
                    .send(
                        patient_id,
                        message.message_id,
                        message.traceparent.clone(),
                        message.payload.clone(),
                    )
                    .await?;
            }
            _ => return Err(DeliveryError::Unreadable),
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
}

/// Takes the lock on the deliveries of this patient until the transaction ends.
async fn lock(
    transaction: &mut PgConnection,
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
