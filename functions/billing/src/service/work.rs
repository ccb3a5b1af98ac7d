//! What the service is asked for: questions, and changes.
//!
//! A change is one transaction with its effect, its answer, its events and its record.
//!
//! Every change locks the accounts of its patient first, in a statement of its own: whoever waits
//! for them sees what the one before has done. Under the lock it looks whether its request was
//! answered before. What is written last is what others wait for longest: the number of an invoice, and
//! then the audit trail.

use std::{collections::BTreeMap, sync::Arc};

use audit_trail::{Action, Outcome, Record, Resource, Subject};
use billing_client::OnBehalfOf;
use chrono::NaiveDate;
use contracts::caller_metadata::REPLAYED;
use events::{BillingChange, BillingEvent};
use prost::Message;
use sha2::{Digest as _, Sha256};
use sqlx::PgPool;
use store::Transaction;
use telemetry::TraceContext;
use tonic::{Request, Response, Status, metadata::MetadataValue};
use tracing::Instrument as _;
use uuid::Uuid;

use crate::{
    outbox::Billing,
    service::{
        clinic::Clinic,
        database::{failed, once_more_if_outdated},
        input, observe,
        party::Party,
        refused::{nobody, request_id_reused},
        wire,
    },
};

/// The books, and the rules by which they are kept.
#[derive(Debug, Clone)]
pub(crate) struct Books {
    pub(crate) database: PgPool,
    pub(crate) clinic: Arc<Clinic>,
}

/// A request that changes something.
pub(crate) trait Change: Message + Clone + Default + 'static {
    /// What it is answered.
    type Answer: Message + Default + 'static;

    /// The name of its method.
    const METHOD: &'static str;

    /// Whether somebody has to be named who wants it. The system itself is nobody.
    const BY_SOMEBODY: bool = true;

    /// The id that makes it happen once. None if what it says makes sure of that.
    fn request_id(&self) -> Option<&str>;

    /// Makes the change.
    fn make(&self, work: &mut Work) -> impl Future<Output = Result<Self::Answer, Stopped>> + Send;
}

/// A request that changes nothing.
pub(crate) trait Question: Sync {
    /// What it is answered.
    type Answer;

    /// Finds the answer.
    fn answer(&self, books: &Books) -> impl Future<Output = Result<Self::Answer, Status>> + Send;
}

/// Why a change is not made.
#[derive(Debug)]
pub(crate) enum Stopped {
    /// It was made before: this is its answer.
    Answered(Vec<u8>),
    /// It is refused, or failed.
    Refused(Status),
}

impl From<Status> for Stopped {
    fn from(status: Status) -> Self {
        Self::Refused(status)
    }
}

/// For those who only look: nothing was ever answered to them.
impl From<Stopped> for Status {
    fn from(stopped: Stopped) -> Self {
        match stopped {
            Stopped::Refused(status) => status,
            Stopped::Answered(_) => Self::internal("the billing service failed"),
        }
    }
}

impl From<sqlx::Error> for Stopped {
    fn from(error: sqlx::Error) -> Self {
        Self::Refused(failed(&error))
    }
}

/// A change that is being made.
#[derive(Debug)]
pub(crate) struct Work {
    pub(crate) transaction: Transaction,
    pub(crate) clinic: Arc<Clinic>,
    caller: Option<OnBehalfOf>,
    request: Option<RequestMade>,
    account: Option<Uuid>,
    records: Vec<ToRecord>,
    events: Vec<BillingEvent>,
    /// By how much what is due of which invoice changes on which day, and in which currency.
    due: BTreeMap<(Uuid, NaiveDate), (String, i64)>,
}

/// The request of a change.
#[derive(Debug, Clone)]
struct RequestMade {
    id: Uuid,
    method: &'static str,
    fingerprint: [u8; 32],
}

/// What the audit trail is to say.
#[derive(Debug)]
struct ToRecord {
    action: Action,
    resource: Resource,
    patient: Option<Uuid>,
    reason: Option<String>,
}

impl Books {
    /// Answers a question.
    pub(crate) async fn answer<Q: Question>(
        &self,
        request: Request<Q>,
    ) -> Result<Response<Q::Answer>, Status> {
        let question = observe::read(request);
        once_more_if_outdated(|| question.answer(self))
            .await
            .map(Response::new)
    }

    /// Makes a change, once.
    ///
    /// The work goes on when nobody waits for it any more: a transaction that is dropped half-way
    /// would keep its locks for as long as nobody looks after its connection.
    pub(crate) async fn change<C: Change>(
        &self,
        request: Request<C>,
    ) -> Result<Response<C::Answer>, Status> {
        let caller = OnBehalfOf::read(request.metadata());
        let request = observe::read(request);
        if C::BY_SOMEBODY && caller.is_none() {
            return Err(nobody());
        }
        let books = self.clone();
        let work =
            async move { once_more_if_outdated(|| books.make(&request, caller.as_ref())).await };
        let work = TraceContext::current().scope(work).in_current_span();
        tokio::spawn(work).await.map_err(|error| {
            tracing::error!(cause = %error, "a change panicked");
            Status::internal("the billing service failed; its log says why")
        })?
    }

    async fn make<C: Change>(
        &self,
        change: &C,
        caller: Option<&OnBehalfOf>,
    ) -> Result<Response<C::Answer>, Status> {
        let request = RequestMade::of(change, caller)?;
        let transaction = Transaction::begin(&self.database).await;
        let mut work = Work {
            transaction: transaction.map_err(|error| failed(&error))?,
            clinic: Arc::clone(&self.clinic),
            caller: caller.cloned(),
            request,
            account: None,
            records: Vec::new(),
            events: Vec::new(),
            due: BTreeMap::new(),
        };
        let made = match work.answered_before().await {
            Ok(()) => change.make(&mut work).await,
            before => before.map(|()| C::Answer::default()),
        };
        match made {
            Ok(answer) => {
                work.finish(&answer).await?;
                Ok(Response::new(answer))
            }
            Err(Stopped::Answered(answer)) => {
                let undone = work.transaction.rollback().await;
                undone.map_err(|error| failed(&error))?;
                replay(&answer)
            }
            Err(Stopped::Refused(status)) => {
                // If the database fails now, it has rolled back, or will.
                let _ = work.transaction.rollback().await;
                Err(status)
            }
        }
    }

    /// A view of the books that does not change while it is looked at.
    pub(crate) async fn snapshot(&self) -> Result<Transaction, Status> {
        let begun = async {
            let mut transaction = Transaction::begin(&self.database).await?;
            sqlx::query("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
                .execute(&mut transaction)
                .await?;
            Ok(transaction)
        };
        begun.await.map_err(|error| failed(&error))
    }
}

/// The answer that an earlier call got.
fn replay<A: Message + Default>(answer: &[u8]) -> Result<Response<A>, Status> {
    let answer = A::decode(answer).map_err(|error| {
        tracing::error!(cause = %error, "a stored answer cannot be read");
        Status::internal("the billing service failed; its log says why")
    })?;
    let mut response = Response::new(answer);
    let replayed = MetadataValue::from_static("true");
    response.metadata_mut().insert(REPLAYED, replayed);
    Ok(response)
}

impl RequestMade {
    fn of<C: Change>(change: &C, caller: Option<&OnBehalfOf>) -> Result<Option<Self>, Status> {
        let Some(id) = change.request_id() else {
            return Ok(None);
        };
        let id = input::id_of("request_id", id)?;
        let mut digest = Sha256::new();
        digest.update(C::METHOD);
        digest.update([0]);
        digest.update(caller.map(|caller| caller.user).unwrap_or_default());
        digest.update(change.encode_to_vec());
        Ok(Some(Self {
            id,
            method: C::METHOD,
            fingerprint: digest.finalize().into(),
        }))
    }
}

impl Work {
    /// Who wants the change.
    pub(crate) fn actor(&self) -> Option<Uuid> {
        self.caller.as_ref().map(|caller| caller.user)
    }

    /// The id of the request.
    pub(crate) fn request_id(&self) -> Option<Uuid> {
        self.request.as_ref().map(|request| request.id)
    }

    /// The day that it is at the clinic, now that the locks are there.
    pub(crate) fn today(&self) -> NaiveDate {
        self.clinic.today()
    }

    /// Locks the accounts of a patient, under all ids that they have, in the order of the accounts'
    /// ids.
    pub(crate) async fn lock_patient(&mut self, patient: Uuid) -> Result<Party, Stopped> {
        self.lock_patient_and(patient, &[]).await
    }

    /// The same, and other accounts on which there is something of theirs.
    pub(crate) async fn lock_patient_and(
        &mut self,
        patient: Uuid,
        others: &[Uuid],
    ) -> Result<Party, Stopped> {
        let party = Party::lock(&mut self.transaction, patient, others).await?;
        self.account = Some(party.own().id);
        self.answered_before().await?;
        Ok(party)
    }

    /// The same for the patient of an account.
    pub(crate) async fn lock_patient_of(&mut self, account: Uuid) -> Result<Party, Stopped> {
        let patient = sqlx::query_scalar!(
            "SELECT patient_id FROM billing.account WHERE id = $1",
            account
        )
        .fetch_one(&mut self.transaction)
        .await?;
        self.lock_patient(patient).await
    }

    /// Locks the prices of codes, after the accounts: those who read them do not wait for each
    /// other, and nobody sets one meanwhile.
    pub(crate) async fn lock_codes<'c>(
        &mut self,
        codes: impl IntoIterator<Item = &'c str>,
    ) -> Result<(), Stopped> {
        let mut locks: Vec<i64> = codes.into_iter().map(lock_of_code).collect();
        locks.sort_unstable();
        locks.dedup();
        for lock in locks {
            sqlx::query("SELECT pg_advisory_xact_lock_shared($1)")
                .bind(lock)
                .execute(&mut self.transaction)
                .await?;
        }
        Ok(())
    }

    /// Locks the prices of a code to set one.
    pub(crate) async fn lock_code_to_set(&mut self, code: &str) -> Result<(), Stopped> {
        sqlx::query("SELECT pg_advisory_xact_lock($1)")
            .bind(lock_of_code(code))
            .execute(&mut self.transaction)
            .await?;
        self.answered_before().await
    }

    /// Stops if the request was answered before. To be asked again under the lock that everybody
    /// needs who makes the same request.
    async fn answered_before(&mut self) -> Result<(), Stopped> {
        let Some(request) = &self.request else {
            return Ok(());
        };
        let stored = sqlx::query!(
            "SELECT fingerprint, answer FROM billing.request WHERE id = $1",
            request.id
        )
        .fetch_optional(&mut self.transaction)
        .await?;
        match stored {
            None => Ok(()),
            Some(stored) if stored.fingerprint == request.fingerprint => {
                Err(Stopped::Answered(stored.answer))
            }
            Some(_) => Err(request_id_reused().into()),
        }
    }

    /// Has the audit trail say that this was done, and to whose.
    pub(crate) fn record(
        &mut self,
        action: Action,
        resource: Resource,
        patient: Option<Uuid>,
        reason: Option<&str>,
    ) {
        self.records.push(ToRecord {
            action,
            resource,
            patient,
            reason: reason.map(ToOwned::to_owned),
        });
    }

    /// Has the rest of the system told that this happened, on this day.
    pub(crate) fn announce(&mut self, patient: Uuid, date: NaiveDate, change: BillingChange) {
        self.events.push(BillingEvent {
            id: Uuid::now_v7(),
            occurred_at: self.clinic.now(),
            patient_id: patient,
            business_date: date,
            change,
        });
    }

    /// Has the rest of the system told that so much more is due of an invoice from this day on.
    pub(crate) fn due_changes(
        &mut self,
        invoice: Uuid,
        currency: &str,
        date: NaiveDate,
        amount: i64,
    ) {
        let change = self.due.entry((invoice, date));
        change.or_insert_with(|| (currency.to_owned(), 0)).1 += amount;
    }

    /// Announces what is due now of the invoices of which it has changed.
    async fn announce_due(&mut self) -> Result<(), sqlx::Error> {
        let mut changes = std::mem::take(&mut self.due);
        changes.retain(|_, (_, amount)| *amount != 0);
        if changes.is_empty() {
            return Ok(());
        }
        let ids: Vec<Uuid> = changes.keys().map(|(invoice, _)| *invoice).collect();
        let invoices = sqlx::query!(
            r#"SELECT invoice.id, account.patient_id, invoice.due, invoice.due_date AS "due_date!"
               FROM billing.invoice
               JOIN billing.account ON account.id = invoice.account_id
               WHERE invoice.id = ANY($1)"#,
            &ids,
        )
        .fetch_all(&mut self.transaction)
        .await?;
        for ((id, date), (currency, amount)) in changes {
            if let Some(invoice) = invoices.iter().find(|invoice| invoice.id == id) {
                let change = BillingChange::InvoiceDueChanged {
                    invoice: id,
                    change: wire::amount(&currency, amount),
                    due: wire::amount(&currency, invoice.due),
                    due_date: invoice.due_date,
                };
                self.announce(invoice.patient_id, date, change);
            }
        }
        Ok(())
    }

    async fn finish(mut self, answer: &impl Message) -> Result<(), Status> {
        if let Some(request) = self.request.clone() {
            let stored = sqlx::query!(
                "INSERT INTO billing.request (id, method, account_id, fingerprint, answer)
                 VALUES ($1, $2, $3, $4, $5)
                 ON CONFLICT ON CONSTRAINT request_pkey DO NOTHING",
                request.id,
                request.method,
                self.account,
                &request.fingerprint[..],
                answer.encode_to_vec(),
            )
            .execute(&mut self.transaction)
            .await
            .map_err(|error| failed(&error))?;
            if stored.rows_affected() == 0 {
                // Somebody has used the id for another patient's account meanwhile.
                let _ = self.transaction.rollback().await;
                return Err(request_id_reused());
            }
        }
        self.announce_due().await.map_err(|error| failed(&error))?;
        for event in &self.events {
            outbox::announce::<Billing>(&mut self.transaction, event)
                .await
                .map_err(|error| failed(&error))?;
        }
        self.append_records()
            .await
            .map_err(|error| failed(&error))?;
        let committed = self.transaction.commit().await;
        committed.map_err(|error| failed(&error))
    }

    /// Last, as others wait for the chains of the trail.
    async fn append_records(&mut self) -> Result<(), sqlx::Error> {
        let caller = self.caller.as_ref();
        for to_record in &self.records {
            let record = Record {
                id: Uuid::now_v7(),
                actor: caller.map(|caller| (caller.user, caller.role)),
                action: to_record.action,
                outcome: Outcome::Succeeded,
                problem: None,
                subject: match to_record.patient {
                    Some(patient) => Subject::ResourceOfPatient(to_record.resource, patient),
                    None => Subject::Resource(to_record.resource),
                },
                reason: to_record.reason.as_deref(),
                source: caller.and_then(|caller| caller.source.as_deref()),
                request_id: caller.and_then(|caller| caller.request_id.as_deref()),
            };
            record.append(&mut self.transaction).await?;
        }
        Ok(())
    }
}

/// 64 bits of a digest of the code: two codes with the same bits only wait for each other.
fn lock_of_code(code: &str) -> i64 {
    let digest = Sha256::digest(format!("billing price {code}"));
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&digest[..8]);
    i64::from_be_bytes(bytes)
}
