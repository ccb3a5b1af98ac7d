//! A transaction that cannot be committed after a statement has failed.

use std::task::Poll;

use futures::{
    StreamExt as _,
    future::BoxFuture,
    stream::{self, BoxStream},
};
use sql_state::Meaning;
use sqlx::{
    Describe, Either, Error, Execute, Executor, PgConnection, PgPool, Postgres, SqlStr,
    postgres::{PgQueryResult, PgRow, PgStatement, PgTypeInfo},
};

use crate::{connection::given_back, no_delay::without_delay};

/// A transaction in which every statement has to succeed.
///
/// At COMMIT, PostgreSQL rolls back a transaction in which a statement has failed, and says so only
/// in the command tag, which `sqlx` does not read: its `commit` returns `Ok`. An overlooked error
/// would become a change that was acknowledged but never made. This type does not expose the
/// connection, so no statement can bypass it.
#[derive(Debug)]
pub struct Transaction {
    inner: sqlx::Transaction<'static, Postgres>,
    /// Whether every statement so far is known to have succeeded. An abandoned one is not.
    sound: bool,
}

impl Transaction {
    /// Begins a transaction.
    ///
    /// # Errors
    /// If the database does not respond.
    pub async fn begin(database: &PgPool) -> Result<Self, Error> {
        given_back(database).await;
        let inner = without_delay(database, database.begin()).await?;
        Ok(Self { inner, sound: true })
    }

    /// Commits the changes.
    ///
    /// # Errors
    /// If a statement has failed or was abandoned: then nothing is committed. If the database
    /// fails: then it may be unknown whether it has committed.
    pub async fn commit(self) -> Result<(), Error> {
        if self.sound {
            return self.inner.commit().await;
        }
        Err(self.refused().await?)
    }

    /// Commits the changes and begins the next transaction, on the same connection and in the same
    /// round trip.
    ///
    /// # Errors
    /// Those of [`commit`](Self::commit).
    pub async fn commit_and_begin(mut self) -> Result<Self, Error> {
        if self.sound {
            let (connection, mut doubt) = self.doubt();
            connection.execute("COMMIT AND CHAIN").await?;
            doubt.end();
            return Ok(self);
        }
        Err(self.refused().await?)
    }

    /// Rolls back what was to be committed. Returns why.
    async fn refused(self) -> Result<Error, Error> {
        self.inner.rollback().await?;
        let refusal = "a transaction in which a statement failed was to be committed";
        Ok(Error::Protocol(refusal.to_owned()))
    }

    /// Rolls the changes back before anything else happens. A dropped transaction is rolled back as
    /// well, a moment later.
    ///
    /// # Errors
    /// If the database fails. It then rolls back by itself.
    pub async fn rollback(self) -> Result<(), Error> {
        self.inner.rollback().await
    }

    /// The connection, and the means to report that the next statement has succeeded.
    fn doubt(&mut self) -> (&mut PgConnection, Doubt<'_>) {
        let was_sound = std::mem::replace(&mut self.sound, false);
        let doubt = Doubt {
            sound: &mut self.sound,
            was_sound,
        };
        (&mut self.inner, doubt)
    }
}

/// Makes sure that a retry of the transaction runs on a connection that prepares its statements
/// again.
fn forget_if_outdated(error: &Error) {
    if sql_state::meaning(error) == Meaning::Outdated {
        sql_state::forget_statements();
    }
}

/// A transaction while one of its statements is running.
struct Doubt<'c> {
    sound: &'c mut bool,
    was_sound: bool,
}

impl Doubt<'_> {
    const fn end(&mut self) {
        *self.sound = self.was_sound;
    }
}

impl<'c> Executor<'c> for &'c mut Transaction {
    type Database = Postgres;

    fn fetch_many<'e, 'q, E>(
        self,
        query: E,
    ) -> BoxStream<'e, Result<Either<PgQueryResult, PgRow>, Error>>
    where
        'c: 'e,
        'q: 'e,
        E: Execute<'q, Postgres> + 'q,
    {
        let (connection, mut doubt) = self.doubt();
        let mut answers = connection.fetch_many(query);
        let mut failed = false;
        Box::pin(stream::poll_fn(move |context| {
            let answer = answers.poll_next_unpin(context);
            match &answer {
                Poll::Ready(Some(Err(error))) => {
                    failed = true;
                    forget_if_outdated(error);
                }
                Poll::Ready(None) if !failed => doubt.end(),
                _ => {}
            }
            answer
        }))
    }

    fn fetch_optional<'e, 'q, E>(self, query: E) -> BoxFuture<'e, Result<Option<PgRow>, Error>>
    where
        'c: 'e,
        'q: 'e,
        E: Execute<'q, Postgres> + 'q,
    {
        let (connection, mut doubt) = self.doubt();
        Box::pin(async move {
            let row = connection.fetch_optional(query).await;
            let row = row.inspect_err(forget_if_outdated)?;
            doubt.end();
            Ok(row)
        })
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [PgTypeInfo],
    ) -> BoxFuture<'e, Result<PgStatement, Error>>
    where
        'c: 'e,
    {
        let (connection, mut doubt) = self.doubt();
        Box::pin(async move {
            let statement = connection.prepare_with(sql, parameters).await?;
            doubt.end();
            Ok(statement)
        })
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<Describe<Postgres>, Error>>
    where
        'c: 'e,
    {
        let (connection, mut doubt) = self.doubt();
        Box::pin(async move {
            let description = connection.describe(sql).await?;
            doubt.end();
            Ok(description)
        })
    }
}
