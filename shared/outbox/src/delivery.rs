//! One patient's messages, in order.

use std::time::{Duration, Instant};

use after_answer::after_answer;
use sqlx::PgPool;
use store::{FromEnvironment, Transaction, given_back};
use telemetry::TraceContext;
use tracing::Instrument as _;
use uuid::Uuid;

use crate::{
    Kind, Message, SendError, Sender,
    kind::named,
    table::{Outbox, Waiting},
};

/// How long a function takes to deliver the changes of a request. Most deliveries take milliseconds; a
/// dependency that is down must not keep the environment from the next request.
const AT_ONCE: Duration = Duration::from_millis(1500);

/// When a request stops making calls, so that what it has delivered is deleted before [`AT_ONCE`]
/// is over, and not delivered twice.
const LAST_CALL: Duration = Duration::from_secs(1);

/// When a call of a request is abandoned, for the same reason.
const CALLS_END: Duration = Duration::from_millis(1300);

/// How many messages are sent in one transaction. If it fails, as many may be sent twice.
const TURN: usize = 20;

/// How long a transaction makes calls. The last call may take two seconds more, and the database
/// ends a transaction that has been idle for 15 seconds.
const LONGEST_TURN: Duration = Duration::from_secs(3);

/// Why a message is still in the outbox.
#[derive(Debug, thiserror::Error)]
pub enum DeliveryError<E> {
    /// The database failed.
    #[error("the outbox cannot be read or written")]
    Database(#[from] sqlx::Error),
    /// The receiver did not accept it.
    #[error(transparent)]
    NotSent(E),
    /// The row is not what this version of the code writes.
    #[error("the message cannot be read")]
    Unreadable,
    /// The time for the delivery was over.
    #[error("there was no response before the time was up")]
    TimeIsUp,
}

impl<E: SendError> DeliveryError<E> {
    /// Whether the message itself was rejected.
    fn is_refusal(&self) -> bool {
        match self {
            Self::Database(_) | Self::TimeIsUp => false,
            Self::NotSent(error) => !error.is_outage(),
            Self::Unreadable => true,
        }
    }

    /// Whether the receiver cannot accept any message at the moment: [`SendError::is_outage`].
    pub(crate) fn is_outage(&self) -> bool {
        matches!(self, Self::NotSent(error) if error.is_outage())
    }
}

/// Delivers what is in the outbox.
#[derive(Debug, Clone)]
pub struct Delivery<S> {
    sender: S,
}

/// Delivers what is in the outbox before the response: for functions that leave nothing behind.
#[derive(Debug, Clone)]
pub struct DeliveryFirst<S>(Delivery<S>);

/// How long a delivery may take.
#[derive(Debug, Clone, Copy)]
struct Time {
    /// When the last call may begin.
    last_call: Instant,
    /// When a call is abandoned, if that is before its own timeout.
    end: Option<Instant>,
}

impl Time {
    /// That of a request, from now on.
    fn of_request(now: Instant) -> Self {
        Self {
            last_call: now + LAST_CALL,
            end: Some(now + CALLS_END),
        }
    }
}

/// Who delivers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By<R> {
    /// The request that made the change: it delivers everything, and waits for any other delivery.
    Request,
    /// The relay: it delivers only what is for this receiver, and only if no other delivery is in
    /// progress.
    Relay(R),
}

impl<R: PartialEq> By<R> {
    fn delivers<K: Kind<Receiver = R>>(&self, message: &Waiting) -> bool {
        match self {
            Self::Request => true,
            Self::Relay(receiver) => {
                named::<K>(&message.kind).is_some_and(|kind| kind.receiver() == *receiver)
            }
        }
    }
}

type Receiver<S> = <<S as Sender>::Kind as Kind>::Receiver;

/// What one transaction has delivered.
struct Turn<R> {
    delivered: usize,
    /// Whether it ended only because it had reached its limit.
    is_cut_short: bool,
    /// Who gets the patient's next message, which nothing holds up.
    next: Option<R>,
}

/// What the relay has delivered of a patient.
pub(crate) struct Delivered<R> {
    /// How many messages.
    pub(crate) messages: usize,
    /// Who gets the patient's next message, unless it has to wait.
    pub(crate) next: Option<R>,
}

impl<S: Sender + FromEnvironment> FromEnvironment for Delivery<S> {
    const LEAVES_WORK: bool = true;

    fn from_environment(
        function: &'static str,
    ) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        S::from_environment(function).map(Self::new)
    }
}

impl<S: Sender + FromEnvironment> FromEnvironment for DeliveryFirst<S> {
    fn from_environment(
        function: &'static str,
    ) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Delivery::from_environment(function).map(Self)
    }
}

impl<S> From<Delivery<S>> for DeliveryFirst<S> {
    fn from(delivery: Delivery<S>) -> Self {
        Self(delivery)
    }
}

impl<S: Sender> DeliveryFirst<S> {
    /// [`Delivery::deliver_first`].
    pub async fn deliver_first(
        &self,
        database: &PgPool,
        transaction: Transaction,
        patient_id: Uuid,
    ) {
        let Self(delivery) = self;
        delivery
            .deliver_first(database, transaction, patient_id)
            .await;
    }
}

impl<S: Sender> Delivery<S> {
    /// Delivers through this sender.
    #[must_use]
    pub const fn new(sender: S) -> Self {
        Self { sender }
    }

    /// Tries to deliver everything of this patient, for a short time, once the response to the request
    /// is on its way ([`after_answer()`]). The rest is left to the relay: the client is not told, because
    /// nothing is lost.
    pub async fn deliver_now(&self, database: &PgPool, patient_id: Uuid) {
        let (delivery, database) = (self.clone(), database.clone());
        after_answer(async move {
            delivery.start(&database, None, patient_id).await;
            given_back(&database).await;
        })
        .await;
    }

    /// Like [`deliver_now`](Self::deliver_now), in the transaction that was begun when the change was
    /// committed ([`Transaction::commit_and_begin`]): the same connection, and no round trip between.
    ///
    /// It stays open until the response is on its way, and locks nothing until then.
    pub async fn deliver_next(
        &self,
        database: &PgPool,
        transaction: Transaction,
        patient_id: Uuid,
    ) {
        let (delivery, database) = (self.clone(), database.clone());
        after_answer(async move {
            let begun = Some(transaction);
            delivery.start(&database, begun, patient_id).await;
            // Whoever is frozen while a connection is tested loses it.
            given_back(&database).await;
        })
        .await;
    }

    /// Like [`deliver_next`](Self::deliver_next), but before the response: for changes after which the
    /// client relies on what the receiver has done. It waits no longer than 1.5 seconds.
    pub async fn deliver_first(
        &self,
        database: &PgPool,
        transaction: Transaction,
        patient_id: Uuid,
    ) {
        self.start(database, Some(transaction), patient_id).await;
    }

    async fn start(&self, database: &PgPool, begun: Option<Transaction>, patient_id: Uuid) {
        let time = Time::of_request(Instant::now());
        let (delivery, database) = (self.clone(), database.clone());
        // A task of its own, because the outcome of an abandoned transaction is unknown. It ends in
        // time unless the database is slow; then it continues without this request.
        let delivery = tokio::spawn(
            async move { Box::pin(delivery.deliver(&database, begun, patient_id, time)).await }
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
    /// one for another receiver, unless another delivery is in progress. Makes no call after
    /// `until`, and ends after a few seconds so that other patients get their turn.
    ///
    /// # Errors
    /// The failure of the first message that cannot be delivered. Those before it are delivered.
    pub(crate) async fn relay(
        &self,
        database: &PgPool,
        patient_id: Uuid,
        receiver: Receiver<S>,
        until: Instant,
    ) -> Result<Delivered<Receiver<S>>, DeliveryError<S::Error>> {
        let time = Time {
            last_call: until,
            end: None,
        };
        let transaction = Transaction::begin(database).await?;
        let turn = self.turn(transaction, patient_id, By::Relay(receiver), time);
        // Boxed: the clients' futures are nested too deeply for the compiler to lay them out
        // inline.
        let turn = Box::pin(turn).await?;
        Ok(Delivered {
            messages: turn.delivered,
            next: turn.next,
        })
    }

    async fn deliver(
        &self,
        database: &PgPool,
        mut begun: Option<Transaction>,
        patient_id: Uuid,
        time: Time,
    ) -> Result<(), DeliveryError<S::Error>> {
        loop {
            let transaction = match begun.take() {
                Some(begun) => begun,
                None => Transaction::begin(database).await?,
            };
            // Whoever adds a message after our look at the outbox waits for the lock.
            let turn = self
                .turn(transaction, patient_id, By::Request, time)
                .await?;
            if !turn.is_cut_short || Instant::now() >= time.last_call {
                return Ok(());
            }
        }
    }

    /// One transaction with exclusive access to the patient's deliveries: the lock is held until it
    /// ends, and disappears with the connection if this process dies.
    async fn turn(
        &self,
        mut transaction: Transaction,
        patient_id: Uuid,
        by: By<Receiver<S>>,
        time: Time,
    ) -> Result<Turn<Receiver<S>>, DeliveryError<S::Error>> {
        let is_ours = match by {
            By::Request => {
                Outbox::<S::Kind>::lock(&mut transaction, patient_id).await?;
                true
            }
            By::Relay(_) => Outbox::<S::Kind>::try_lock(&mut transaction, patient_id).await?,
        };
        // One more than is sent in a transaction.
        let messages = if is_ours {
            Outbox::<S::Kind>::due(&mut transaction, patient_id, TURN + 1).await?
        } else {
            Vec::new()
        };
        let (sent, failure) = self.send_all(patient_id, &messages, by, time).await;
        let refused = failure.as_ref().filter(|(_, failure)| failure.is_refusal());
        let refused = refused.map(|(sequence, _)| *sequence);
        let next = messages.get(sent.len()).filter(|_| failure.is_none());
        let receiver = next.and_then(|next| named::<S::Kind>(&next.kind));
        let next = next.filter(|next| by.delivers::<S::Kind>(next));
        let put_last = next.filter(|_| matches!(by, By::Relay(_)) && !sent.is_empty());
        match (sent.is_empty(), refused, put_last) {
            (true, ..) => {}
            (false, None, None) => {
                Outbox::<S::Kind>::delete_alone(&mut transaction, &sent).await?;
            }
            (false, ..) => Outbox::<S::Kind>::delete(&mut transaction, &sent).await?,
        }
        if let Some(sequence) = refused {
            Outbox::<S::Kind>::try_later(&mut transaction, sequence).await?;
        }
        if let Some(next) = put_last {
            Outbox::<S::Kind>::put_last(&mut transaction, next.sequence).await?;
        }
        // Ended here even if nothing was done: a process that is frozen after its response would
        // keep the lock.
        transaction.commit().await?;
        match failure {
            Some((_, failure)) => Err(failure),
            None => Ok(Turn {
                delivered: sent.len(),
                is_cut_short: next.is_some(),
                next: receiver.map(Kind::receiver),
            }),
        }
    }

    /// Sends in order: up to the first message that fails or is for another receiver, up to the
    /// limit of a transaction, or until the time is up.
    async fn send_all(
        &self,
        patient_id: Uuid,
        messages: &[Waiting],
        by: By<Receiver<S>>,
        time: Time,
    ) -> (Vec<i64>, Option<(i64, DeliveryError<S::Error>)>) {
        let last_call = time.last_call.min(Instant::now() + LONGEST_TURN);
        let mut sent = Vec::with_capacity(messages.len());
        for message in messages.iter().take(TURN) {
            if !by.delivers::<S::Kind>(message) || Instant::now() >= last_call {
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

    async fn send(
        &self,
        patient_id: Uuid,
        message: &Waiting,
    ) -> Result<(), DeliveryError<S::Error>> {
        let message = Message {
            id: message.message_id,
            kind: named(&message.kind).ok_or(DeliveryError::Unreadable)?,
            payload: &message.payload,
            traceparent: &message.traceparent,
        };
        let sent = self.sender.send(patient_id, message).await;
        sent.map_err(DeliveryError::NotSent)
    }
}

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, fmt};

    use super::*;

    #[derive(Debug, Clone, Copy)]
    struct Note;

    impl Kind for Note {
        type Receiver = ();

        const SCHEMA: &'static str = "notes";
        const ALL: &'static [Self] = &[Self];

        fn name(self) -> &'static str {
            "NOTE"
        }

        fn receiver(self) {}
    }

    /// Accepts all messages but one, to which it never responds.
    #[derive(Debug, Clone)]
    struct Silent {
        about: &'static [u8],
    }

    #[derive(Debug)]
    struct Never(Infallible);

    impl fmt::Display for Never {
        fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
            match self.0 {}
        }
    }

    impl std::error::Error for Never {}

    impl SendError for Never {
        fn is_outage(&self) -> bool {
            match self.0 {}
        }
    }

    impl Sender for Silent {
        type Kind = Note;
        type Error = Never;

        async fn send(&self, _: Uuid, message: Message<'_, Note>) -> Result<(), Never> {
            if message.payload == self.about {
                std::future::pending::<()>().await;
            }
            Ok(())
        }
    }

    /// What has been sent is deleted afterwards, while the request still waits for its delivery: a process
    /// that is frozen in between would keep the lock, and what it has sent would be sent again.
    #[tokio::test(start_paused = true)]
    async fn a_call_is_abandoned_while_there_is_time_to_delete_what_was_sent() {
        let messages = [
            Waiting::of(1, "NOTE", b"first"),
            Waiting::of(2, "NOTE", b"next"),
        ];
        let delivery = Delivery::new(Silent { about: b"next" });
        let begun = tokio::time::Instant::now();
        let time = Time::of_request(begun.into_std());
        let (sent, failure) = delivery
            .send_all(Uuid::nil(), &messages, By::Request, time)
            .await;
        assert_eq!(sent, [1]);
        assert!(
            matches!(failure, Some((2, DeliveryError::TimeIsUp))),
            "{failure:?}"
        );
        let took = begun.elapsed();
        assert!(LAST_CALL < took, "{took:?}");
        let left = AT_ONCE.saturating_sub(took);
        assert!(left >= Duration::from_millis(150), "{left:?}");
    }
}
