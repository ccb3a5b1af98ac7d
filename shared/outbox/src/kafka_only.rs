//! For services that only publish events.

use std::{fmt::Debug, marker::PhantomData, sync::Arc};

use events::{Event, Producer, ProducerError};
use kafka::Cluster;
use store::{FromEnvironment, Transaction};
use uuid::Uuid;

use crate::{Kind, Message, SendError, Sender, write};

/// A service that has nothing in its outbox but its events.
pub trait Publisher: Debug + Copy + Send + Sync + 'static {
    /// The schema with the outbox.
    const SCHEMA: &'static str;

    /// The kind of all its messages.
    const KIND: &'static str;

    /// The event.
    type Event: Event;
}

/// The only kind of message of a [`Publisher`].
#[derive(Debug, Clone, Copy)]
pub struct Announcement<P>(PhantomData<P>);

impl<P: Publisher> Kind for Announcement<P> {
    /// Kafka.
    type Receiver = ();

    const SCHEMA: &'static str = P::SCHEMA;
    const ALL: &'static [Self] = &[Self(PhantomData)];

    fn name(self) -> &'static str {
        P::KIND
    }

    fn receiver(self) {}
}

/// Has this event announced on Kafka.
///
/// # Errors
/// If the database fails.
pub async fn announce<P: Publisher>(
    transaction: &mut Transaction,
    event: &P::Event,
) -> Result<(), sqlx::Error> {
    write(
        transaction,
        event.patient_id(),
        event.id(),
        Announcement::<P>(PhantomData),
        event.encode(),
    )
    .await
}

/// Sends a [`Publisher`]'s events to Kafka.
#[derive(Debug, Clone)]
pub struct KafkaOnly<P> {
    producer: Arc<Producer>,
    publisher: PhantomData<P>,
}

impl<P: Publisher> KafkaOnly<P> {
    /// Sends to this cluster.
    #[must_use]
    pub fn new(cluster: Cluster) -> Self {
        Self {
            producer: Arc::new(Producer::new(cluster, P::Event::TOPIC)),
            publisher: PhantomData,
        }
    }
}

/// Sends to the cluster that the settings name.
impl<P: Publisher> FromEnvironment for KafkaOnly<P> {
    fn from_environment(_: &'static str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Self::new(Cluster::from_env()?))
    }
}

impl<P: Publisher> Sender for KafkaOnly<P> {
    type Kind = Announcement<P>;
    type Error = ProducerError;

    async fn send(
        &self,
        patient_id: Uuid,
        message: Message<'_, Self::Kind>,
    ) -> Result<(), ProducerError> {
        let traceparent = message.traceparent.to_owned();
        let payload = message.payload.to_owned();
        let sent = self
            .producer
            .send(patient_id, message.id, traceparent, payload);
        sent.await
    }
}

impl SendError for ProducerError {
    fn is_outage(&self) -> bool {
        !self.is_refusal()
    }
}
