//! What all changes to an appointment have in common: its patient, its lock, its version, its
//! record, its answer.

use api::{EntityTag, IfMatch, Problem};
use audit_trail::{Resource, Subject, Trail};
use axum::{Json, response::Response};
use idempotency::{Interrupted, Transaction, UnitOfWork};
use identity::Caller;
use patient_access::must_see;
use sqlx::PgPool;
use uuid::Uuid;

use super::appointment::{self, Appointment, Stored, not_found};
use crate::{outbox::Delivery, stored_answer::begin};

/// A request that changes an appointment.
pub(crate) struct Changing {
    pub(crate) caller: Caller,
    pub(crate) database: PgPool,
    pub(crate) delivery: Delivery,
    pub(crate) trail: Trail,
}

impl Changing {
    /// Begins to change this appointment: nobody else changes it until the transaction ends.
    ///
    /// # Errors
    /// 404 if there is none, 403 if the caller may not see its patient, 412 if it is not the
    /// version that they know; or the response to an earlier request.
    pub(crate) async fn begin(
        &self,
        work: UnitOfWork,
        id: Uuid,
        if_match: &IfMatch,
    ) -> Result<(Transaction, Stored), Interrupted> {
        let mut transaction = self.open(work).await?;
        let stored = self.lock(&mut transaction, id, if_match).await?;
        Ok((transaction, stored))
    }

    /// Begins without a lock, for what has to lock something else first.
    pub(crate) async fn open(&self, work: UnitOfWork) -> Result<Transaction, Interrupted> {
        begin(work, self.caller, &self.database, &self.trail).await
    }

    /// Locks the appointment.
    pub(crate) async fn lock(
        &self,
        transaction: &mut store::Transaction,
        id: Uuid,
        if_match: &IfMatch,
    ) -> Result<Stored, Problem> {
        let stored = appointment::lock(&mut *transaction, id)
            .await?
            .ok_or_else(not_found)?;
        self.must_see(transaction, &stored).await?;
        if_match.check(stored.version)?;
        Ok(stored)
    }

    /// Rejects callers who may not see whose appointment it is.
    pub(crate) async fn must_see(
        &self,
        transaction: &mut store::Transaction,
        stored: &Stored,
    ) -> Result<(), Problem> {
        self.trail.about(Subject::Patient(stored.patient_id));
        must_see(self.caller, stored.patient_id, transaction).await
    }

    /// Commits the change with its record, tells whoever has to hear of it, and answers with the
    /// appointment.
    pub(crate) async fn end(
        &self,
        mut transaction: Transaction,
        stored: Stored,
    ) -> Result<Response, Interrupted> {
        let patient = stored.patient_id;
        let subject = Subject::ResourceOfPatient(Resource::appointment(stored.id), patient);
        self.trail.succeeded(&mut *transaction, subject).await?;
        let appointment = Appointment::from(stored);
        let entity_tag: EntityTag = appointment.entity_tag();
        let (answer, next) = transaction
            .commit_and_begin(patient, (entity_tag, Json(appointment)))
            .await?;
        let delivery = &self.delivery;
        delivery.deliver_next(&self.database, next, patient).await;
        Ok(answer)
    }
}
