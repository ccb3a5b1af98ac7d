//! How the rest of the system learns of a change to a patient: through the outbox, from which
//! accounts go to the billing service, and events to Kafka.

use std::sync::Arc;

use billing_client::{BilledTo, BillingClient, BillingError};
use contracts::{
    PATIENT_EVENTS_TOPIC,
    billing::v1::{CreateBillingAccountRequest, UpdateBillingAccountRequest},
};
use events::{Change, PatientEvent, Producer, ProducerError};
use kafka::Cluster;
use outbox::{Message, Sender, write};
use prost::Message as _;
use store::Transaction;
use strum::VariantArray;
use uuid::Uuid;

use crate::{patient::Patient, schema::SCHEMA};

/// Delivers what is in the outbox.
pub type Delivery = outbox::Delivery<Receivers>;

/// Delivers what is in the outbox before the response.
pub type DeliveryFirst = outbox::DeliveryFirst<Receivers>;

/// Where messages go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Receiver {
    /// The billing service.
    Billing,
    /// Kafka.
    Kafka,
}

/// The kind of a message, which determines its receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr, strum::VariantArray)]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum MessageKind {
    /// A request to the billing service to open the account.
    BillingAccount,
    /// A request to the billing service to send invoices to another name or address.
    BillingUpdate,
    /// A request to the billing service to close the account. The schema's trigger
    /// `billing_account_follows_deletion` writes it when a patient is deleted.
    BillingClosure,
    /// A request to the billing service to open the account again. The same trigger writes it when
    /// a patient is restored.
    BillingReopening,
    /// A request to the billing service to forget who the account was of.
    BillingErasure,
    /// An event for Kafka.
    PatientEvent,
}

impl outbox::Kind for MessageKind {
    type Receiver = Receiver;

    const SCHEMA: &'static str = SCHEMA;
    /// Those of the time when no other service had an outbox: during a deployment, the previous
    /// version of the functions still delivers.
    const LOCKS: u64 = 0;
    const ALL: &'static [Self] = Self::VARIANTS;

    fn name(self) -> &'static str {
        self.into()
    }

    fn receiver(self) -> Receiver {
        match self {
            Self::BillingAccount
            | Self::BillingUpdate
            | Self::BillingClosure
            | Self::BillingReopening
            | Self::BillingErasure => Receiver::Billing,
            Self::PatientEvent => Receiver::Kafka,
        }
    }
}

/// Redirects invoices to the patient's present name and address, if these differ from `before`. Returns
/// whether they do.
///
/// # Errors
/// If the database fails.
pub async fn update_billing_account(
    transaction: &mut Transaction,
    before: &Patient,
    patient: &Patient,
) -> Result<bool, sqlx::Error> {
    let billed_to = |patient: &Patient| {
        let Patient {
            name,
            email,
            address,
            ..
        } = patient.clone();
        (name, email, address)
    };
    if billed_to(before) == billed_to(patient) {
        return Ok(false);
    }
    write(
        transaction,
        patient.id,
        Uuid::now_v7(),
        MessageKind::BillingUpdate,
        update_request(patient).encode_to_vec(),
    )
    .await?;
    Ok(true)
}

/// Has invoices go to these patients as they are now, whatever billing knows of them.
///
/// # Errors
/// If the database fails.
pub(crate) async fn tell_billing_of(
    patients: &[Patient],
    transaction: &mut Transaction,
) -> Result<(), sqlx::Error> {
    let messages = patients.iter().map(|patient| {
        let request = update_request(patient).encode_to_vec();
        let kind = MessageKind::BillingUpdate;
        (patient.id, Uuid::now_v7(), kind, request)
    });
    outbox::write_all(transaction, messages).await
}

fn update_request(patient: &Patient) -> UpdateBillingAccountRequest {
    UpdateBillingAccountRequest {
        patient_id: patient.id.to_string(),
        name: patient.name.clone(),
        email: patient.email.clone().unwrap_or_default(),
        address: patient.address.clone().unwrap_or_default(),
        patient_version: u64::try_from(patient.version).unwrap_or_default(),
    }
}

/// Has the name and the address removed from the billing account of an erased patient.
///
/// # Errors
/// If the database fails.
pub async fn erase_billing_account(
    transaction: &mut Transaction,
    patient: Uuid,
) -> Result<(), sqlx::Error> {
    let id = Uuid::now_v7();
    write(
        transaction,
        patient,
        id,
        MessageKind::BillingErasure,
        Vec::new(),
    )
    .await
}

/// Has billing accounts opened for these patients, and their registration announced on Kafka.
///
/// # Errors
/// If the database fails.
pub(crate) async fn register_all(
    patients: &[Patient],
    change: fn(events::Patient) -> Change,
    transaction: &mut Transaction,
) -> Result<(), sqlx::Error> {
    let messages = patients.iter().flat_map(|patient| {
        let request = account_request(patient).encode_to_vec();
        let event = event_of(patient, change(patient.into()));
        [
            (
                patient.id,
                Uuid::now_v7(),
                MessageKind::BillingAccount,
                request,
            ),
            (
                patient.id,
                event.id,
                MessageKind::PatientEvent,
                event.encode(),
            ),
        ]
    });
    outbox::write_all(transaction, messages).await
}

fn account_request(patient: &Patient) -> CreateBillingAccountRequest {
    CreateBillingAccountRequest {
        patient_id: patient.id.to_string(),
        name: patient.name.clone(),
        // Empty: the account has none.
        email: patient.email.clone().unwrap_or_default(),
        address: patient.address.clone().unwrap_or_default(),
    }
}

fn event_of(patient: &Patient, change: Change) -> PatientEvent {
    PatientEvent {
        id: Uuid::now_v7(),
        occurred_at: patient.updated_at,
        patient_id: patient.id,
        patient_version: patient.version,
        change,
    }
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
    let event = event_of(patient, change);
    write(
        transaction,
        patient.id,
        event.id,
        MessageKind::PatientEvent,
        event.encode(),
    )
    .await
}

/// Why a message was not sent.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The billing service did not do it.
    #[error("the billing account could not be opened, changed or closed")]
    Billing(#[from] BillingError),
    /// Kafka did not accept the event.
    #[error("the event could not be sent")]
    Kafka(#[from] ProducerError),
    /// The message is not what this version of the code writes.
    #[error("the message cannot be read")]
    Unreadable(#[from] prost::DecodeError),
}

impl outbox::SendError for SendError {
    fn is_outage(&self) -> bool {
        match self {
            Self::Billing(error) => matches!(
                error,
                BillingError::Unavailable(_) | BillingError::Unauthenticated
            ),
            Self::Kafka(error) => error.is_outage(),
            Self::Unreadable(_) => false,
        }
    }
}

/// Sends accounts to the billing service, events to Kafka.
#[derive(Debug, Clone)]
pub struct Receivers {
    billing: BillingClient,
    producer: Arc<Producer>,
}

store::from_environment!(Receivers);

impl Receivers {
    /// Sends to `BILLING_URL`, and to the Kafka cluster that the settings name.
    ///
    /// # Errors
    /// If a setting is missing or cannot be parsed.
    pub fn from_env() -> Result<Self, api::Error> {
        Ok(Self::new(BillingClient::from_env()?, Cluster::from_env()?))
    }

    /// Sends with this client and to this cluster.
    #[must_use]
    pub fn new(billing: BillingClient, cluster: Cluster) -> Self {
        Self {
            billing,
            producer: Arc::new(Producer::new(cluster, PATIENT_EVENTS_TOPIC)),
        }
    }
}

impl Sender for Receivers {
    type Kind = MessageKind;
    type Error = SendError;

    async fn send(
        &self,
        patient_id: Uuid,
        message: Message<'_, MessageKind>,
    ) -> Result<(), SendError> {
        match message.kind {
            MessageKind::BillingAccount => {
                let request = CreateBillingAccountRequest::decode(message.payload)?;
                let billed_to = BilledTo {
                    name: &request.name,
                    email: &request.email,
                    address: &request.address,
                };
                self.billing.create_account(patient_id, &billed_to).await?;
            }
            MessageKind::BillingUpdate => {
                let request = UpdateBillingAccountRequest::decode(message.payload)?;
                let billed_to = BilledTo {
                    name: &request.name,
                    email: &request.email,
                    address: &request.address,
                };
                let version = request.patient_version;
                let call = self.billing.update_account(patient_id, version, &billed_to);
                call.await?;
            }
            MessageKind::BillingClosure => {
                self.billing.close_account(patient_id).await?;
            }
            MessageKind::BillingReopening => {
                self.billing.reopen_account(patient_id).await?;
            }
            MessageKind::BillingErasure => {
                self.billing.erase_account(patient_id).await?;
            }
            MessageKind::PatientEvent => {
                self.producer
                    .send(
                        patient_id,
                        message.id,
                        message.traceparent.to_owned(),
                        message.payload.to_owned(),
                    )
                    .await?;
            }
        }
        Ok(())
    }
}
