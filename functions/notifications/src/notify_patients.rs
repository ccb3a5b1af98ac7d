//! Welcomes every new patient once.
//!
//! Stores the welcome as `PENDING`, sends it unless mail to the address has come back, and stores the
//! outcome; [`attempt`] describes how duplicates and crashes are handled. Registrations without a welcome, changes to a patient and
//! deletions are not a reason to write to the patient. They are marked as seen, so that a welcome
//! that arrives after them is no longer sent. A deleted patient may be restored, and then wants to
//! be reached as before; of an erased one, nothing is kept.
//!
//! [`attempt`]: crate::attempt

use events::{Change, Effect, PatientEvent, seen};
use mail::{MailError, Mailer};
use sqlx::PgPool;
use store::Table;

use crate::{
    attempt::{Attempt, Start, TableError},
    message::{Clinic, welcome},
    notification::{self, Notification},
    pace::Pace,
    preferences,
    suppression::{Suppression, is_suppressed},
};

/// Why a patient has not been notified yet. The event has to be redelivered.
#[derive(Debug, thiserror::Error)]
pub enum NotifyError {
    /// Another function is sending the message, or died while sending it.
    #[error("another attempt at this notification is in progress")]
    Held,
    /// The mail service did not accept it.
    #[error(transparent)]
    Mail(MailError),
    /// The table failed.
    #[error(transparent)]
    Table(#[from] TableError),
    /// The database failed.
    #[error("the database failed: {0}")]
    Database(#[from] sqlx::Error),
}

/// Notifies patients.
#[derive(Debug)]
pub struct Notifier {
    /// Where notifications are stored.
    pub table: Table,
    /// Sends them.
    pub mailer: Mailer,
    /// The sender.
    pub clinic: Clinic,
    /// Where it is stored how patients want to be reached, and to which addresses nothing is sent.
    pub database: PgPool,
    /// How fast it sends.
    pub pace: Pace,
}

impl Notifier {
    /// Does what this event requires, unless that has been done before.
    ///
    /// # Errors
    /// If it cannot be done now.
    pub async fn notify(&self, event: &PatientEvent) -> Result<Effect, NotifyError> {
        if event.change == Change::Erased {
            // Before it is marked as seen, so that a failure is not forgotten.
            preferences::forget(event.patient_id, &self.database).await?;
            notification::forget(event.patient_id, &self.table).await?;
        }
        let Change::Created(patient) = &event.change else {
            return Ok(self.see(event).await?);
        };
        let Some(email) = &patient.email else {
            // Nobody to write to, such as a child.
            return Ok(self.see(event).await?);
        };
        // Before the attempt, which holds the message while others wait.
        self.pace.turn().await;
        let message = welcome(&patient.name, &self.clinic);
        let notification = Notification::welcome(event, email, message);
        match Attempt::start(&self.table, event, notification).await? {
            Start::Ours(attempt) => self.send(*attempt).await,
            Start::Settled => Ok(Effect::AlreadyApplied),
            Start::OutOfDate => Ok(Effect::OutOfDate),
            Start::Held => Err(NotifyError::Held),
        }
    }

    async fn see(&self, event: &PatientEvent) -> Result<Effect, TableError> {
        let effect = seen::see(&self.table, event).await?;
        Ok(effect.unwrap_or(Effect::Ignored))
    }

    async fn send(&self, attempt: Attempt<'_>) -> Result<Effect, NotifyError> {
        let notification = attempt.notification();
        let id = notification.id;
        match is_suppressed(&notification.recipient, false, &self.database).await {
            Ok(false) => {}
            Ok(true) => {
                attempt.suppressed(Suppression::AddressSuppressed).await?;
                return Ok(Effect::Applied);
            }
            Err(unavailable) => {
                // If this fails too, the lease expires by itself.
                let _ = attempt.released().await;
                return Err(unavailable.into());
            }
        }
        let sent = self
            .mailer
            .send_to_patient(
                notification.patient_id,
                &notification.recipient,
                &notification.subject,
                &notification.text,
            )
            .await;
        match sent {
            Ok(message_id) => attempt.sent(&message_id).await?,
            Err(MailError::Refused(reason)) => {
                tracing::warn!(notificationId = %id, reason = ?reason, "the notification was rejected");
                attempt.refused(reason.into()).await?;
            }
            Err(unavailable) => {
                // If this fails too, the lease expires by itself.
                let _ = attempt.released().await;
                return Err(NotifyError::Mail(unavailable));
            }
        }
        Ok(Effect::Applied)
    }
}
