//! What a request does to the database: everything together with its response, or nothing.

use std::{
    ops::{Deref, DerefMut},
    sync::Arc,
};

use api::{Problem, ProblemType, Within, layers::Once};
use axum::{
    extract::FromRequestParts,
    response::{IntoResponse, Response},
};
use http::request::Parts;
use sqlx::PgPool;
use tokio::sync::{Mutex, OwnedMappedMutexGuard, OwnedMutexGuard};
use uuid::Uuid;

use crate::{
    request_identity::RequestIdentity,
    stored_answer::{Known, StoredAnswer, StoredAnswers},
};

/// How soon a client may retry a request that is being processed, in seconds.
const TRY_AGAIN_AFTER: u32 = 1;

/// The transaction of a request from its beginning until it is committed. The layer ends a
/// transaction that the handler has left open.
pub(crate) type Begun = Arc<Mutex<Option<store::Transaction>>>;

/// How a handler of a route in the [`layer`](crate::layer) changes the database.
#[derive(Debug, Clone)]
pub struct UnitOfWork {
    pub(crate) database: PgPool,
    pub(crate) answers: StoredAnswers,
    /// `None` for a request without a key: its response is not stored.
    pub(crate) request: Option<RequestIdentity>,
    pub(crate) begun: Begun,
}

impl UnitOfWork {
    /// Begins the transaction. If the handler fails from here on, everything is rolled back.
    ///
    /// # Errors
    /// The stored response, if this request already has one, so that the client gets it again; 409
    /// while the same request is being processed; 422 if its key belongs to another request; or if
    /// the database fails.
    pub async fn begin(self) -> Result<Transaction, Interrupted> {
        let mut transaction = store::Transaction::begin(&self.database).await?;
        if let Some(request) = &self.request
            && let Some(end) = self.claim(&mut transaction, request).await?
        {
            // Explicitly, because the process may be frozen before it would happen by itself.
            transaction.rollback().await?;
            return Err(end);
        }
        let slot = self.begun.clone().lock_owned().await;
        Ok(Transaction {
            connection: OwnedMutexGuard::map(slot, |slot| slot.insert(transaction)),
            work: self,
        })
    }

    /// Makes this the only one to process the request until the transaction ends. Otherwise returns
    /// why there is nothing to do.
    async fn claim(
        &self,
        transaction: &mut store::Transaction,
        request: &RequestIdentity,
    ) -> Result<Option<Interrupted>, sqlx::Error> {
        let locked: bool = sqlx::query_scalar("SELECT pg_try_advisory_xact_lock($1)")
            .bind(request.lock())
            .fetch_one(&mut *transaction)
            .await?;
        if !locked {
            let problem = Problem::new(
                ProblemType::RequestInProgress,
                "A request with this Idempotency-Key is being processed",
            );
            return Ok(Some(problem.retry_after(TRY_AGAIN_AFTER).into()));
        }
        // A separate statement, so that it sees what the previous holder of the lock has committed.
        let known = self.answers.find(transaction, request).await?;
        Ok(known.map(|known| match known {
            Known::Answer(answer) => Interrupted::Answered(Box::new(answer)),
            Known::OtherRequest => Problem::new(
                ProblemType::IdempotencyKeyReused,
                "The Idempotency-Key belongs to another request; a new request needs a new key",
            )
            .into(),
        }))
    }
}

/// Everything that the request does to the database until it is committed.
#[derive(Debug)]
pub struct Transaction {
    connection: OwnedMappedMutexGuard<Option<store::Transaction>, store::Transaction>,
    work: UnitOfWork,
}

impl Transaction {
    /// Commits the changes together with the response, which repeated requests get as well. The
    /// response contains the data of this subject: [`StoredAnswer::subject`].
    ///
    /// # Errors
    /// If the database fails. It may then be unknown whether it has committed.
    pub async fn commit(
        self,
        subject: Uuid,
        answer: impl IntoResponse,
    ) -> Result<Response, Problem> {
        let (transaction, answer) = self.end(subject, answer).await?;
        transaction.commit().await?;
        Ok(answer)
    }

    /// Like [`commit`](Self::commit), and begins the next transaction, in which the messages about the
    /// change are delivered: see [`store::Transaction::commit_and_begin`].
    ///
    /// # Errors
    /// Those of [`commit`](Self::commit).
    pub async fn commit_and_begin(
        self,
        subject: Uuid,
        answer: impl IntoResponse,
    ) -> Result<(Response, store::Transaction), Problem> {
        let (transaction, answer) = self.end(subject, answer).await?;
        Ok((answer, transaction.commit_and_begin().await?))
    }

    /// Stores the response. Returns the transaction, which is to be committed.
    async fn end(
        self,
        subject: Uuid,
        answer: impl IntoResponse,
    ) -> Result<(store::Transaction, Response), Problem> {
        let Self {
            mut connection,
            work,
        } = self;
        let mut answer = answer.into_response();
        if let Some(request) = &work.request {
            let stored;
            (stored, answer) = StoredAnswer::of(answer, subject).await?;
            work.answers
                .keep(&mut *connection, request, &stored)
                .await?;
        }
        drop(connection);
        let transaction = work.begun.lock().await.take();
        let transaction = transaction.ok_or_else(|| Problem::internal("no transaction"))?;
        Ok((transaction, answer))
    }
}

impl Deref for Transaction {
    type Target = store::Transaction;

    fn deref(&self) -> &store::Transaction {
        &self.connection
    }
}

impl DerefMut for Transaction {
    fn deref_mut(&mut self) -> &mut store::Transaction {
        &mut self.connection
    }
}

/// Only available in routes of the [`layer`](crate::layer).
impl<S, A, R> FromRequestParts<Within<S, (A, R, Once)>> for UnitOfWork
where
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request_parts(
        parts: &mut Parts,
        _: &Within<S, (A, R, Once)>,
    ) -> Result<Self, Problem> {
        let work = parts.extensions.remove::<Self>();
        work.ok_or_else(|| Problem::internal("the route is not in the idempotency layer"))
    }
}

/// Why a handler ends before its work is done.
#[derive(Debug)]
pub enum Interrupted {
    /// The request has already taken effect, and this was the response.
    Answered(Box<StoredAnswer>),
    /// Something is wrong.
    Failed(Problem),
}

impl From<Problem> for Interrupted {
    fn from(problem: Problem) -> Self {
        Self::Failed(problem)
    }
}

impl From<sqlx::Error> for Interrupted {
    fn from(error: sqlx::Error) -> Self {
        Self::Failed(error.into())
    }
}

impl IntoResponse for Interrupted {
    fn into_response(self) -> Response {
        match self {
            Self::Answered(answer) => answer.replay(),
            Self::Failed(problem) => problem.into_response(),
        }
    }
}
