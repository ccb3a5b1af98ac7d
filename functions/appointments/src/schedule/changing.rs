//! What all changes to a schedule have in common: they show what they do to what is booked, and
//! then do it or, as a preview, nothing.

use api::Problem;
use audit_trail::{Subject, Trail};
use chrono::{DateTime, Utc};
use identity::Caller;
use sqlx::PgPool;
use store::Transaction;
use uuid::Uuid;

use super::orphans::{Impact, impact};
use crate::{
    booking::appointment::{Appointment, By, Stored},
    outbox::Delivery,
    patient,
};

/// How many patients a record of the audit trail can name.
const PATIENTS_OF_A_RECORD: usize = 100;

/// Of how many patients a request delivers the events itself. The relay delivers the others'.
const DELIVERED_AT_ONCE: usize = 3;

/// A change to a schedule, made in this transaction.
pub(crate) struct Changed<'a> {
    pub(crate) caller: Caller,
    pub(crate) database: &'a PgPool,
    pub(crate) delivery: &'a Delivery,
    pub(crate) trail: &'a Trail,
    /// The resources whose schedules it changes.
    pub(crate) resources: &'a [Uuid],
    /// What it is about.
    pub(crate) about: audit_trail::Resource,
    pub(crate) reason: Option<&'a str>,
    /// Whether it is only to be shown.
    pub(crate) preview: bool,
}

impl Changed<'_> {
    /// Commits the change and marks what it orphans, or takes it back if it is a preview. Returns
    /// the appointments that nobody is there for then, of patients whom the caller may see.
    pub(crate) async fn end(
        self,
        mut transaction: Transaction,
        now: DateTime<Utc>,
    ) -> Result<Vec<Stored>, Problem> {
        let mut impact = impact(&mut transaction, self.resources, now).await?;
        let patients = impact.patients();
        let hidden = patient::hidden(self.caller, &patients, self.database).await?;
        if !self.preview {
            let by = By {
                actor: Some(self.caller.user),
                reason: self.reason,
            };
            impact.mark(&mut transaction, by).await?;
        }
        impact
            .orphaned
            .retain(|one| !hidden.contains(&one.patient_id));
        if self.preview {
            transaction.rollback().await?;
            transaction = Transaction::begin(self.database).await?;
        }
        self.record(&mut transaction, &impact).await?;
        transaction.commit().await?;
        if !self.preview {
            for patient in patients.iter().take(DELIVERED_AT_ONCE) {
                self.delivery.deliver_now(self.database, *patient).await;
            }
        }
        Ok(impact.orphaned)
    }

    /// Records the change or the preview, and whose appointments are shown.
    async fn record(
        &self,
        transaction: &mut Transaction,
        shown: &Impact,
    ) -> Result<(), sqlx::Error> {
        let mut patients: Vec<Uuid> = shown.orphaned.iter().map(|one| one.patient_id).collect();
        patients.sort_unstable();
        patients.dedup();
        for some in patients.chunks(PATIENTS_OF_A_RECORD) {
            let subject = Subject::Patients(some);
            self.trail.succeeded(&mut *transaction, subject).await?;
        }
        let subject = Subject::Resource(self.about);
        self.trail.succeeded(transaction, subject).await
    }
}

/// As clients get them.
pub(crate) fn shown(appointments: Vec<Stored>) -> Vec<Appointment> {
    appointments.into_iter().map(Appointment::from).collect()
}
