//! Brings the schema of every service up to date.

use std::{borrow::Cow, collections::BTreeMap, time::Duration};

use anyhow::Context as _;
use schemas::Service;
use sqlx::{
    ConnectOptions as _, Connection as _, PgConnection, error::DatabaseError,
    migrate::MigrateError, postgres::PgConnectOptions,
};
use tokio::time::sleep;

/// Names the lock under which migrations are applied, in this database.
const LOCK: i64 = i64::from_be_bytes(*b"migrates");

/// The SQLSTATEs of a migration that others were in the way of: a lock was not available in time, and two
/// transactions waited for each other.
const IN_THE_WAY: [&str; 2] = ["55P03", "40P01"];

/// How long migrations wait for others, such as a verification that reads all of a table.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// For a table at a time. Who comes after a migration waits behind it, so that it rather gives up,
    /// and is tried again.
    pub lock: Duration,
    /// Before it is tried again, so that those behind it go first.
    pub pause: Duration,
    /// How often that is done, for all migrations together.
    pub again: usize,
}

impl Default for Patience {
    /// Three minutes of the five that `provision` has. For a lock, half as long as requests wait for one
    /// (`TIME_LIMITS` of their roles): none of those behind a migration fails.
    fn default() -> Self {
        Self {
            lock: Duration::from_secs(1),
            pause: Duration::from_secs(5),
            again: 30,
        }
    }
}

/// Applies what is missing, and answers how many migrations each schema has now.
///
/// A service's record of its migrations stands in its own schema. Two calls at the same
/// time wait for each other.
///
/// # Errors
/// If the database cannot be reached, or refuses a migration: that one is undone, and
/// those before it stay.
pub async fn run(
    database: &PgConnectOptions,
    patience: Patience,
) -> anyhow::Result<BTreeMap<&'static str, usize>> {
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
    sqlx::query("SELECT set_config('lock_timeout', $1, false)")
        .bind(format!("{}ms", patience.lock.as_millis()))
        .execute(&mut connection)
        .await?;
    let mut applied = BTreeMap::new();
    let mut again = patience.again;
    for service in Service::ALL {
        while let Err(error) = bring_up_to_date(service, &mut connection).await {
            let service = service.name();
            if again == 0 || !is_in_the_way(&error) {
                return Err(error).with_context(|| {
                    format!("the schema {service} could not be brought up to date")
                });
            }
            again -= 1;
            tracing::warn!(cause = %error, service, again, "a migration is tried again");
            sleep(patience.pause).await;
        }
        applied.insert(service.name(), service.migrations().iter().count());
    }
    connection.close().await?;
    Ok(applied)
}

async fn bring_up_to_date(
    service: Service,
    connection: &mut PgConnection,
) -> Result<(), MigrateError> {
    let (service, mut migrations) = (service.name(), service.migrations());
    migrations.set_locking(false);
    migrations.create_schema(service);
    migrations.dangerous_set_table_name(Cow::Owned(format!("{service}._sqlx_migrations")));
    migrations.run_direct(None, connection, false).await
}

/// Whether a migration failed because of what others were doing.
fn is_in_the_way(error: &MigrateError) -> bool {
    let (MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _)) = error else {
        return false;
    };
    let code = error.as_database_error().and_then(DatabaseError::code);
    code.is_some_and(|code| IN_THE_WAY.contains(&&*code))
}
