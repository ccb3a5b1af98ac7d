//! How messages reach their receivers.

use std::{fmt, future::Future};

use uuid::Uuid;

use crate::Kind;

/// Takes the messages of a service to their receivers. Connects to each on the first message for
/// it.
pub trait Sender: fmt::Debug + Clone + Send + Sync + 'static {
    /// The kinds of messages.
    type Kind: Kind;

    /// Why a message was not sent.
    type Error: SendError;

    /// Sends one message about this patient, and waits until its receiver has accepted it.
    ///
    /// It must give up after a few seconds: the transaction that holds the patient's lock waits for
    /// it.
    fn send(
        &self,
        patient_id: Uuid,
        message: Message<'_, Self::Kind>,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;
}

/// Why a message was not sent.
pub trait SendError: std::error::Error + Send + Sync + 'static {
    /// Whether the receiver cannot accept any message at the moment, whatever it contains: it is
    /// down, too slow, or rejects our credentials. Otherwise, the message itself was rejected.
    fn is_outage(&self) -> bool;
}

/// A message of the outbox.
///
/// It may contain a patient's data, so `Debug` reveals none of it.
#[derive(Clone, Copy)]
pub struct Message<'a, K> {
    /// Receivers act once per id.
    pub id: Uuid,
    /// Its kind.
    pub kind: K,
    /// Its content.
    pub payload: &'a [u8],
    /// The trace of the request that made the change.
    pub traceparent: &'a str,
}

impl<K: fmt::Debug> fmt::Debug for Message<'_, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("id", &self.id)
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}
