//! One of the two that are compared.

use std::{collections::BTreeMap, fs};

use anyhow::{Context as _, Result};
use uuid::Uuid;

use super::{Request, Rival, database::Database};
use crate::{
    Options, bare_sql::BareSql, build, memory::sample_event, patients::NewPatient,
    processor_time::of_process, subject::Subject,
};

/// How many patients there are, besides those who are registered meanwhile.
const PATIENTS: usize = 200;

/// The programs of both.
pub(super) struct Builds<'a> {
    pub(super) rival: &'a Rival,
    pub(super) options: &'a Options,
}

/// A function, and its sample event.
pub(super) struct Built {
    subject: Subject,
    sample: Vec<u8>,
}

impl Builds<'_> {
    /// The function of the other one.
    ///
    /// # Errors
    /// If it has not been built.
    pub(super) fn theirs(
        &self,
        request: Request,
        settings: &BTreeMap<String, String>,
        database: &Database,
    ) -> Result<Built> {
        let program = self.rival.program(request, self.options);
        let function = request.function();
        let events = self.rival.source().join("events");
        let sample = events.join(function).with_extension("json");
        Ok(Built {
            subject: Subject::of(function, &program, in_database(settings, database))?,
            sample: fs::read(&sample)
                .with_context(|| format!("cannot read {}", sample.display()))?,
        })
    }

    /// The function of this commit.
    ///
    /// # Errors
    /// If it has not been built.
    pub(super) fn ours(
        &self,
        request: Request,
        settings: &BTreeMap<String, String>,
        database: &Database,
    ) -> Result<Built> {
        let function = request.function();
        let program = build::program(self.options, function);
        Ok(Built {
            subject: Subject::of(function, &program, in_database(settings, database))?,
            sample: sample_event(function)?,
        })
    }
}

fn in_database(
    settings: &BTreeMap<String, String>,
    database: &Database,
) -> BTreeMap<String, String> {
    let mut settings = settings.clone();
    settings.insert("DATABASE_URL".to_owned(), database.url.clone());
    settings
}

/// A function and its database.
pub(super) struct Contender<'a> {
    pub(super) subject: Subject,
    pub(super) sample: Vec<u8>,
    pub(super) database: &'a Database,
    pub(super) patients: Vec<Uuid>,
}

impl<'a> Contender<'a> {
    /// Puts patients into the database.
    ///
    /// # Errors
    /// If the database fails.
    pub(super) async fn of(built: Built, database: &'a Database) -> Result<Self> {
        let mut sql = BareSql::connect_to(&database.pool).await?;
        let mut patients = Vec::new();
        for _ in 0..PATIENTS {
            patients.push(sql.create(&NewPatient::fresh()).await?.0);
        }
        Ok(Self {
            subject: built.subject,
            sample: built.sample,
            database,
            patients,
        })
    }

    /// What the server's processes behind the functions' connections have used so far, by process.
    ///
    /// # Errors
    /// If the database fails.
    pub(super) async fn backends(&self) -> Result<BTreeMap<u32, std::time::Duration>> {
        let backends: Vec<i32> = sqlx::query_scalar(
            "SELECT pid FROM pg_stat_activity
             WHERE datname = current_database() AND backend_type = 'client backend'
               AND application_name <> $1",
        )
        .bind(crate::bare_sql::APPLICATION)
        .fetch_all(&self.database.pool)
        .await?;
        let mut used = BTreeMap::new();
        for backend in backends {
            let backend = u32::try_from(backend)?;
            // It may have ended meanwhile.
            if let Ok(time) = of_process(backend) {
                used.insert(backend, time);
            }
        }
        Ok(used)
    }
}
