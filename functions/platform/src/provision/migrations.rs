//! Brings the schema of every service up to date.

use std::{borrow::Cow, collections::BTreeMap};

use anyhow::Context as _;
use schemas::Service;
use sqlx::{ConnectOptions as _, Connection as _, postgres::PgConnectOptions};

/// Names the lock under which migrations are applied, in this database.
const LOCK: i64 = i64::from_be_bytes(*b"migrates");

/// How long a migration waits for a table that others use. Who comes after it waits behind
/// it, so that it rather gives up, and is tried again.
const LOCK_TIMEOUT: &str = "SET lock_timeout = '5s'";

/// Applies what is missing, and answers how many migrations each schema has now.
///
/// A service's record of its migrations stands in its own schema. Two calls at the same
/// time wait for each other.
///
/// # Errors
/// If the database cannot be reached, or refuses a migration: that one is undone, and
/// those before it stay.
pub async fn run(database: &PgConnectOptions) -> anyhow::Result<BTreeMap<&'static str, usize>> {
    // One connection of its own: a migration may take longer than a request's statement,
    // and the lock belongs to the connection.
    let mut connection = database
        .connect()
        .await
        .context("the database cannot be reached")?;
    // Ours and not that of the migrations, which would not outlast the time limit.
    sqlx::query("SELECT pg_advisory_lock($1)")
        .bind(LOCK)
        .execute(&mut connection)
        .await?;
    sqlx::query(LOCK_TIMEOUT).execute(&mut connection).await?;
    let mut applied = BTreeMap::new();
    for service in Service::ALL {
        let (service, mut migrations) = (service.name(), service.migrations());
        migrations.set_locking(false);
        migrations.create_schema(service);
        migrations.dangerous_set_table_name(Cow::Owned(format!("{service}._sqlx_migrations")));
        migrations
            .run_direct(None, &mut connection, false)
            .await
            .with_context(|| format!("the schema {service} could not be brought up to date"))?;
        applied.insert(service, migrations.iter().count());
    }
    connection.close().await?;
    Ok(applied)
}
