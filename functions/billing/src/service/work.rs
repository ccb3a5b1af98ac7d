//! What the service is asked for: questions, and changes.
//!
//! A change is one transaction with its effect, its answer, its events and its record.
//!
//! Every change locks the accounts that it touches first, in a statement of its own: whoever waits
//! for them sees what the one before has done. Under the lock it looks whether its request was
//! answered before. What is written last is what others wait for longest: the number of an invoice, and
//! then the audit trail.

use std::{collections::BTreeMap, sync::Arc};

use audit_trail::{Action, Outcome, Record, Resource, Subject};
use billing_client::OnBehalfOf;
use chrono::{DateTime, NaiveDate, Utc};
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
        database::{failed, once_more},
        input, observe,
        party::{Matter, Party},
        refused::{answer_erased, nobody, request_id_reused},
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
    /// It touches more accounts than it did when they were locked, and has to begin again.
    Overtaken,
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
            Stopped::Answered(_) | Stopped::Overtaken => {
                Self::internal("the billing service failed")
            }
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
    locked: Vec<Uuid>,
    moment: Option<DateTime<Utc>>,
    date: Option<NaiveDate>,
    records: Vec<ToRecord>,
    events: Vec<BillingEvent>,
    /// By how much what is due of which invoice changes, and in which currency.
    due: BTreeMap<Uuid, (String, i64)>,
}

/// The request of a change.
#[derive(Debug, Clone)]
struct RequestMade {
    id: Uuid,
    method: &'static str,
    fingerprint: [u8; 32],
}

/// How often a change is begun again because it touches more than was locked.
const ATTEMPTS: usize = 5;

/// What the audit trail is to say.
#[derive(Debug)]
struct ToRecord {
    action: Action,
    resource: Resource,
    patient: Option<Uuid>,
}

impl Books {
    /// Answers a question.
    pub(crate) async fn answer<Q: Question>(
        &self,
        request: Request<Q>,
    ) -> Result<Response<Q::Answer>, Status> {
        let question = observe::read(request);
        once_more(|| question.answer(self)).await.map(Response::new)
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
        let work = async move { once_more(|| books.make(&request, caller.as_ref())).await };
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
        for _ in 0..ATTEMPTS {
            let mut work = self.begin(caller.cloned(), request.clone()).await?;
            let made = match work.answered_before().await {
                Ok(()) => change.make(&mut work).await,
                before => before.map(|()| C::Answer::default()),
            };
            match made {
                Ok(answer) => {
                    work.finish(&answer).await?;
                    return Ok(Response::new(answer));
                }
                Err(Stopped::Answered(answer)) => {
                    let undone = work.transaction.rollback().await;
                    undone.map_err(|error| failed(&error))?;
                    return replay(&answer);
                }
                Err(Stopped::Refused(status)) => {
                    // If the database fails now, it has rolled back, or will.
                    let _ = work.transaction.rollback().await;
                    return Err(status);
                }
                Err(Stopped::Overtaken) => {
                    let undone = work.transaction.rollback().await;
                    undone.map_err(|error| failed(&error))?;
                }
            }
        }
        Err(Status::unavailable("others are changing the same things"))
    }

    async fn begin(
        &self,
        caller: Option<OnBehalfOf>,
        request: Option<RequestMade>,
    ) -> Result<Work, Status> {
        let transaction = Transaction::begin(&self.database).await;
        Ok(Work {
            transaction: transaction.map_err(|error| failed(&error))?,
            clinic: Arc::clone(&self.clinic),
            caller,
            request,
            account: None,
            locked: Vec::new(),
            moment: None,
            date: None,
            records: Vec::new(),
            events: Vec::new(),
            due: BTreeMap::new(),
        })
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

    /// When the change is made. It is looked up once, so that midnight falls before or after all of
    /// it; the first time under the locks, as they may have taken long.
    pub(crate) fn now(&mut self) -> DateTime<Utc> {
        let clinic = &self.clinic;
        *self.moment.get_or_insert_with(|| clinic.now())
    }

    /// The day at the clinic on which the change is made: the date of all that it leaves.
    pub(crate) fn today(&mut self) -> NaiveDate {
        let now = self.now();
        let clinic = &self.clinic;
        *self.date.get_or_insert_with(|| clinic.day_of(now))
    }

    /// Has the change made on a later day: that of the number before the one that it has taken.
    pub(crate) fn not_before(&mut self, date: NaiveDate) -> NaiveDate {
        let date = date.max(self.today());
        *self.date.insert(date)
    }

    /// Locks the accounts of a patient, under all ids that they have, in the order of the accounts'
    /// ids.
    pub(crate) async fn lock_patient(&mut self, patient: Uuid) -> Result<Party, Stopped> {
        self.lock(patient, &[]).await
    }

    /// Locks the accounts of the patient whose this is, and all others that a change about it touches.
    /// None if there is no such thing.
    pub(crate) async fn lock_matter(&mut self, matter: Matter) -> Result<Option<Party>, Stopped> {
        let Some(touched) = matter.touches(&mut self.transaction).await? else {
            return Ok(None);
        };
        let party = self.lock(touched.patient, &touched.others).await?;
        self.must_have_locked(matter).await?;
        Ok(Some(party))
    }

    /// Begins again if somebody has made this touch other accounts before they were locked. To lock
    /// these as well would be out of order.
    pub(crate) async fn must_have_locked(&mut self, matter: Matter) -> Result<(), Stopped> {
        let touched = matter.touches(&mut self.transaction).await?;
        let others = touched.map(|touched| touched.others).unwrap_or_default();
        if others.iter().all(|account| self.has_locked(*account)) {
            return Ok(());
        }
        Err(Stopped::Overtaken)
    }

    /// Whether nobody else changes this account meanwhile.
    pub(crate) fn has_locked(&self, account: Uuid) -> bool {
        self.locked.contains(&account)
    }

    async fn lock(&mut self, patient: Uuid, others: &[Uuid]) -> Result<Party, Stopped> {
        let party = Party::lock(&mut self.transaction, patient, others).await?;
        self.account = party.answered();
        self.locked = party.locked().to_vec();
        self.answered_before().await?;
        Ok(party)
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
            Some(stored) if stored.fingerprint != request.fingerprint => {
                Err(request_id_reused().into())
            }
            Some(stored) => match stored.answer {
                Some(answer) => Err(Stopped::Answered(answer)),
                None => Err(answer_erased(request.id).into()),
            },
        }
    }

    /// Has the audit trail say that this was done, and to whose. Why, is said by what was changed, until
    /// the patient is erased: nothing is ever removed from the trail.
    pub(crate) fn record(&mut self, action: Action, resource: Resource, patient: Option<Uuid>) {
        self.records.push(ToRecord {
            action,
            resource,
            patient,
        });
    }

    /// Has the rest of the system told that this has happened.
    pub(crate) fn announce(&mut self, patient: Uuid, change: BillingChange) {
        let (occurred_at, business_date) = (self.now(), self.today());
        self.events.push(BillingEvent {
            id: Uuid::now_v7(),
            occurred_at,
            patient_id: patient,
            business_date,
            change,
        });
    }

    /// Has the rest of the system told that so much more is due of an invoice.
    pub(crate) fn due_changes(&mut self, invoice: Uuid, currency: &str, amount: i64) {
        let change = self.due.entry(invoice);
        change.or_insert_with(|| (currency.to_owned(), 0)).1 += amount;
    }

    /// Announces what is due now of the invoices of which it has changed.
    async fn announce_due(&mut self) -> Result<(), sqlx::Error> {
        let mut changes = std::mem::take(&mut self.due);
        changes.retain(|_, (_, amount)| *amount != 0);
        if changes.is_empty() {
            return Ok(());
        }
        let ids: Vec<Uuid> = changes.keys().copied().collect();
        let invoices = sqlx::query!(
            r#"SELECT invoice.id, account.patient_id, invoice.due, invoice.due_date AS "due_date!"
               FROM billing.invoice
               JOIN billing.account ON account.id = invoice.account_id
               WHERE invoice.id = ANY($1)"#,
            &ids,
        )
        .fetch_all(&mut self.transaction)
        .await?;
        for (id, (currency, amount)) in changes {
            if let Some(invoice) = invoices.iter().find(|invoice| invoice.id == id) {
                let change = BillingChange::InvoiceDueChanged {
                    invoice: id,
                    change: wire::amount(&currency, amount),
                    due: wire::amount(&currency, invoice.due),
                    due_date: invoice.due_date,
                };
                self.announce(invoice.patient_id, change);
            }
        }
        Ok(())
    }

    /// The accounts that the answer may be about, besides that of who made the request.
    fn other_accounts(&self) -> Vec<Uuid> {
        let others = self.locked.iter().copied();
        others
            .filter(|account| Some(*account) != self.account)
            .collect()
    }

    async fn finish(mut self, answer: &impl Message) -> Result<(), Status> {
        if let Some(request) = self.request.clone() {
            let stored = sqlx::query!(
                "INSERT INTO billing.request
                     (id, method, account_id, fingerprint, answer, other_accounts)
                 VALUES ($1, $2, $3, $4, $5, $6)
                 ON CONFLICT ON CONSTRAINT request_pkey DO NOTHING",
                request.id,
                request.method,
                self.account,
                &request.fingerprint[..],
                answer.encode_to_vec(),
                &self.other_accounts()[..],
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
                reason: None,
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
