//! Welcomes every new patient once.
//!
//! Stores the welcome as `PENDING`, sends it, and stores what became of it; [`attempt`] says
//! how duplicates and crashes are kept apart. That somebody whom the clinic has known before was
//! registered, changes to a patient and their removal are no reason to write to them: they are
//! only marked as seen, so that a welcome that comes after
//! them is not sent any more.
//!
//! [`attempt`]: crate::attempt

use events::{Change, Effect, PatientEvent, seen};
use mail::{MailError, Mailer};
use store::{Table, TransactionError};

use crate::{
    attempt::{Attempt, Start, TableError},
    message::{Clinic, welcome},
    notification::Notification,
};

/// Why a patient is not notified yet. The event has to come again.
#[derive(Debug, thiserror::Error)]
pub enum NotifyError {
    /// Another function is sending it, or died while it did.
    #[error("another attempt at this notification is not over")]
    Held,
    /// The mail service did not take it.
    #[error(transparent)]
    Mail(MailError),
    /// The table did not do its part.
    #[error(transparent)]
    Table(#[from] TableError),
}

/// What it takes to notify somebody.
#[derive(Debug)]
pub struct Notifier {
    /// Where notifications are stored.
    pub table: Table,
    /// What sends them.
    pub mailer: Mailer,
    /// Who writes.
    pub clinic: Clinic,
}

impl Notifier {
    /// Does what this event calls for, unless it was done before.
    ///
    /// # Errors
    /// If it could not be done now.
    pub async fn notify(&self, event: &PatientEvent) -> Result<Effect, NotifyError> {
        let Change::Created(patient) = &event.change else {
            return Ok(self.see(event).await?);
        };
        let message = welcome(&patient.name, &self.clinic);
        let notification = Notification::welcome(event, &patient.email, message);
        match Attempt::start(&self.table, event, notification).await? {
            Start::Ours(attempt) => self.send(*attempt).await,
            Start::Settled => Ok(Effect::AlreadyApplied),
            Start::OutOfDate => Ok(Effect::OutOfDate),
            Start::Held => Err(NotifyError::Held),
        }
    }

    async fn see(&self, event: &PatientEvent) -> Result<Effect, TableError> {
        let mark = seen::mark(&self.table, event)?;
        match self.table.transact(vec![mark]).await {
            Ok(()) => Ok(Effect::Ignored),
            Err(TransactionError::Refused(reasons)) => {
                let effect = seen::effect_of_refusal(reasons.first(), event);
                Ok(effect.unwrap_or(Effect::AlreadyApplied))
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn send(&self, attempt: Attempt<'_>) -> Result<Effect, NotifyError> {
        let notification = attempt.notification();
        let id = notification.id;
        let sent = self
            .mailer
            .send(
                &notification.recipient,
                &notification.subject,
                &notification.text,
            )
            .await;
        match sent {
            Ok(message_id) => attempt.sent(&message_id).await?,
            Err(MailError::Refused(reason)) => {
                tracing::warn!(notificationId = %id, reason = ?reason, "the notification was refused");
                attempt.refused(reason.into()).await?;
            }
            Err(unavailable) => {
                // The lease runs out by itself where this fails too.
                let _ = attempt.released().await;
                return Err(NotifyError::Mail(unavailable));
            }
        }
        Ok(Effect::Applied)
    }
}
