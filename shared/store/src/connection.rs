//! The connection of a request: one, from its first statement to its end.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures::{
    TryFutureExt as _, TryStreamExt as _,
    future::BoxFuture,
    stream::{self, BoxStream},
};
use sqlx::{
    Describe, Either, Error, Execute, Executor, PgPool, Postgres, SqlStr,
    pool::PoolConnection,
    postgres::{PgQueryResult, PgRow, PgStatement, PgTypeInfo},
};
use tokio::{
    sync::{Mutex, MutexGuard},
    time::sleep,
};

use crate::{no_delay::without_delay, postgres::CONNECTIONS};

/// How long somebody waits for the one connection that there is before another one is opened. Giving it
/// back takes two round trips; logging in takes more than that, prepares every statement anew, and the
/// second connection would stay.
const GIVEN_BACK_WITHIN: Duration = Duration::from_millis(50);

/// How often they look.
const STEP: Duration = Duration::from_millis(1);

/// Waits while the only connection of a function is being given back.
///
/// `sqlx` does that in a task of its own, in which the connection is cleaned and tested. Whoever asks
/// for a connection before it has ended gets a new one. A larger pool is of somebody who does several
/// things at a time, and needs several.
pub async fn given_back(database: &PgPool) {
    if database.options().get_max_connections() > CONNECTIONS {
        return;
    }
    let begun = Instant::now();
    while database.size() == 1 && database.num_idle() == 0 && begun.elapsed() < GIVEN_BACK_WITHIN {
        sleep(STEP).await;
    }
}

/// The connection of a request to the database: taken from the pool for its first statement, used by
/// all others, one after the other, and given back when the request is over.
///
/// Statements on the pool itself would each take a connection. A transaction has one of its own.
#[derive(Debug, Clone)]
pub struct Connection(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    database: PgPool,
    taken: Mutex<Option<PoolConnection<Postgres>>>,
}

impl Connection {
    /// A connection of this pool. Nothing is taken yet.
    #[must_use]
    pub fn of(database: PgPool) -> Self {
        let taken = Mutex::new(None);
        Self(Arc::new(Inner { database, taken }))
    }

    async fn taken(&self) -> Result<Taken<'_>, Error> {
        let mut taken = self.0.taken.lock().await;
        if taken.is_none() {
            let database = &self.0.database;
            given_back(database).await;
            *taken = Some(without_delay(database, database.acquire()).await?);
        }
        Ok(Taken(taken))
    }
}

/// The connection while a statement uses it.
struct Taken<'a>(MutexGuard<'a, Option<PoolConnection<Postgres>>>);

impl Taken<'_> {
    fn connection(&mut self) -> Result<&mut PoolConnection<Postgres>, Error> {
        self.0.as_mut().ok_or(Error::PoolClosed)
    }
}

impl<'c> Executor<'c> for &'c Connection {
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
        // All rows, so that the connection is free again whoever reads them.
        let answers = async move {
            let mut taken = self.taken().await?;
            let answers = taken.connection()?.fetch_many(query);
            let answers: Vec<_> = answers.try_collect().await?;
            Ok(stream::iter(answers.into_iter().map(Ok)))
        };
        Box::pin(answers.try_flatten_stream())
    }

    fn fetch_optional<'e, 'q, E>(self, query: E) -> BoxFuture<'e, Result<Option<PgRow>, Error>>
    where
        'c: 'e,
        'q: 'e,
        E: Execute<'q, Postgres> + 'q,
    {
        Box::pin(async move {
            let mut taken = self.taken().await?;
            taken.connection()?.fetch_optional(query).await
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
        Box::pin(async move {
            let mut taken = self.taken().await?;
            taken.connection()?.prepare_with(sql, parameters).await
        })
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<Describe<Postgres>, Error>>
    where
        'c: 'e,
    {
        Box::pin(async move {
            let mut taken = self.taken().await?;
            taken.connection()?.describe(sql).await
        })
    }
}
