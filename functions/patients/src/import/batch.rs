//! A batch of lines: what they create, what becomes of each, and where the next batch begins, in one
//! transaction.

use std::collections::{BTreeSet, HashMap};

use audit_trail::{Action, Outcome, Record, Subject};
use chrono::{DateTime, NaiveDate, Utc};
use events::Change;
use identity::Role;
use sql_state::Meaning;
use sqlx::PgPool;
use store::Transaction;
use uuid::Uuid;

use super::{FileFormat, date_format::DateFormat, layout::Layout, on_record};
use crate::{
    duplicates::evidence,
    email_rule::EmailRule,
    history::{self, VersionKind},
    outbox,
    patient::Patient,
    patient_input::Details,
    record::BirthPrecision,
    search::terms,
    storage,
};

/// How many patients a record of the audit trail names at most.
const ON_RECORD: usize = 100;

/// An import that is being worked on.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) id: Uuid,
    /// Whose turn it is: another run has another one.
    pub(super) lease: Uuid,
    pub(super) format: FileFormat,
    pub(super) dates: DateFormat,
    pub(super) columns: serde_json::Value,
    pub(super) welcome: bool,
    pub(super) length: u64,
    pub(super) layout: Option<Layout>,
    pub(super) next_byte: u64,
    pub(super) next_line: u64,
    pub(super) actor: Uuid,
    pub(super) role: Role,
}

/// Lines of a file, and where the next one begins.
pub(super) struct Batch {
    /// Each line with the patient in it, or why it is none.
    pub(super) lines: Vec<(u64, Result<Details, String>)>,
    pub(super) next_byte: u64,
    pub(super) next_line: u64,
    /// The day on which they are registered, if the file says no other.
    pub(super) today: NaiveDate,
    pub(super) rule: EmailRule,
}

/// What becomes of a line.
struct Verdict {
    line: u64,
    outcome: &'static str,
    patient: Option<Uuid>,
    reason: Option<String>,
}

/// Writes the batch, and moves the import to the next one. Returns whether the import is still ours;
/// if not, nothing is written.
///
/// # Errors
/// If the database fails, or somebody has written one of these patients at the same moment.
pub(super) async fn write(
    database: &PgPool,
    job: &mut Job,
    batch: &Batch,
) -> Result<bool, sqlx::Error> {
    let mut transaction = Transaction::begin(database).await?;
    let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    // First of all, so that nobody else works on these lines until the end.
    let ours = sqlx::query!(
        "UPDATE patients.import
         SET leased_until = clock_timestamp() + interval '60 seconds', next_byte = $4, next_line = $5
         WHERE id = $1 AND leased_by = $2 AND next_byte = $3 AND state = 'RUNNING'",
        job.id,
        job.lease,
        number(job.next_byte),
        number(batch.next_byte),
        number(batch.next_line),
    )
    .execute(&mut transaction)
    .await?;
    if ours.rows_affected() == 0 {
        transaction.rollback().await?;
        return Ok(false);
    }
    write_lines(&batch.lines, job, batch, &mut transaction).await?;
    transaction.commit().await?;
    (job.next_byte, job.next_line) = (batch.next_byte, batch.next_line);
    Ok(true)
}

/// Refuses those lines of the batch that the database does not take, each for itself. What it does
/// not take should have been refused before; but nobody else in the file may suffer for it.
///
/// # Errors
/// If the database fails.
pub(super) async fn refuse_faulty(
    database: &PgPool,
    job: &Job,
    batch: &mut Batch,
) -> Result<(), sqlx::Error> {
    for at in 0..batch.lines.len() {
        job.renew(database).await?;
        let line = &batch.lines[at..=at];
        let mut transaction = Transaction::begin(database).await?;
        let outcome = write_lines(line, job, batch, &mut transaction).await;
        transaction.rollback().await?;
        match outcome {
            Err(error) if sql_state::meaning(&error) == Meaning::Fault => {
                tracing::error!(import = %job.id, line = line[0].0, cause = %error,
                                "the database does not take a line of an import");
                batch.lines[at].1 = Err("The record cannot be stored".to_owned());
            }
            outcome => outcome?,
        }
    }
    Ok(())
}

/// Writes these lines, and who is in them.
async fn write_lines(
    lines: &[(u64, Result<Details, String>)],
    job: &Job,
    batch: &Batch,
    transaction: &mut Transaction,
) -> Result<(), sqlx::Error> {
    // Two imports at the same time would each take the other's patients for new. The tables grow by a
    // batch each time: a plan for a search that was right for the one before may not be.
    sqlx::query!(
        "SELECT set_config('plan_cache_mode', 'force_custom_plan', true),
                pg_advisory_xact_lock(hashtextextended('import of patients', 0))::text"
    )
    .fetch_one(&mut *transaction)
    .await?;
    let mut known = Known::of(lines, batch, transaction).await?;
    // Otherwise, each foreign key of each row would be planned anew.
    sqlx::query!("SELECT set_config('plan_cache_mode', 'auto', true)")
        .fetch_one(&mut *transaction)
        .await?;
    let mut created = Vec::new();
    let mut verdicts = Vec::with_capacity(lines.len());
    for (line, patient) in lines {
        let verdict = |outcome, patient, reason| Verdict {
            line: *line,
            outcome,
            patient,
            reason,
        };
        let details = match patient {
            Ok(details) => details.clone(),
            Err(reason) => {
                verdicts.push(verdict("REFUSED", None, Some(reason.clone())));
                continue;
            }
        };
        // Who is born tomorrow, where it is tomorrow already, is registered then.
        let registered = details.registered_date;
        let registered = registered.unwrap_or(batch.today.max(details.birth_date.first_day()));
        let patient = storage::unregistered(details, registered);
        match known.meets(&patient, batch.rule) {
            Meeting::Same(other) => verdicts.push(verdict("DUPLICATE", Some(other), None)),
            Meeting::Taken(reason) => {
                verdicts.push(verdict("REFUSED", None, Some(reason.to_owned())));
            }
            Meeting::Alike(other) => {
                let reason = format!("Has the name and the date of birth of patient {other}");
                verdicts.push(verdict("CREATED", Some(patient.id), Some(reason)));
                known.learn(&patient, batch.rule);
                created.push(patient);
            }
            Meeting::Nobody => {
                verdicts.push(verdict("CREATED", Some(patient.id), None));
                known.learn(&patient, batch.rule);
                created.push(patient);
            }
        }
    }
    insert(&mut created, batch.rule, transaction).await?;
    announce(&created, job, transaction).await?;
    record_lines(&verdicts, job, transaction).await?;
    // Also who was there before: the outcome says so, and names them.
    let named: BTreeSet<Uuid> = verdicts.iter().filter_map(|of| of.patient).collect();
    let named: Vec<Uuid> = named.into_iter().collect();
    // Last, because everybody's records go into a few chains.
    for ids in named.chunks(ON_RECORD) {
        let record = Record {
            id: Uuid::now_v7(),
            actor: Some((job.actor, job.role)),
            action: Action::ImportPatients,
            outcome: Outcome::Succeeded,
            problem: None,
            subject: Subject::ResourceOfPatients(on_record(job.id), ids),
            reason: None,
            source: None,
            request_id: None,
        };
        record.append(&mut *transaction).await?;
    }
    Ok(())
}

/// Who is there already.
#[derive(Default)]
struct Known {
    /// By name and date of birth.
    by_name: HashMap<(String, String), Vec<Patient>>,
    holders_of_identifiers: HashMap<(String, String), Holder>,
    by_email: HashMap<String, Holder>,
}

/// Who has an identifier or a mailbox.
#[derive(Clone)]
struct Holder {
    id: Uuid,
    key: (String, String),
    is_deleted: bool,
}

/// Whom a new patient meets.
enum Meeting {
    /// Nobody.
    Nobody,
    /// Themselves.
    Same(Uuid),
    /// Somebody of the same name, born on the same day.
    Alike(Uuid),
    /// Somebody else who has what only one can have.
    Taken(&'static str),
}

/// The folded name and the date of birth, as far as it is known.
fn key(patient: &Patient) -> (String, String) {
    let born = format!("{}{}", terms::BORN, patient.birth_date.value);
    (terms::sort_key(patient), born)
}

impl Known {
    /// Everybody whom these lines could be about.
    async fn of(
        lines: &[(u64, Result<Details, String>)],
        batch: &Batch,
        transaction: &mut Transaction,
    ) -> Result<Self, sqlx::Error> {
        let mut keys = BTreeSet::new();
        let mut identifiers = BTreeSet::new();
        let mut emails = BTreeSet::new();
        for details in lines
            .iter()
            .filter_map(|(_, patient)| patient.as_ref().ok())
        {
            let patient = storage::unregistered(details.clone(), batch.today);
            keys.insert(key(&patient));
            for identifier in patient.identifiers {
                identifiers.insert((identifier.system, identifier.value));
            }
            if batch.rule == EmailRule::Unique {
                emails.extend(patient.email.map(|email| email.to_lowercase()));
            }
        }
        let (names, born): (Vec<String>, Vec<String>) = keys.into_iter().unzip();
        let (systems, values): (Vec<String>, Vec<String>) = identifiers.into_iter().unzip();
        let emails: Vec<String> = emails.into_iter().collect();
        // Each is looked up by itself, as OFFSET says: a join would rather read all there are.
        // Which patients hold what has to be unique.
        let of_identifiers = sqlx::query_scalar!(
            "SELECT held.patient_id
               FROM unnest($1::text[], $2::text[]) AS wanted (system, value)
               CROSS JOIN LATERAL (
                   SELECT patient_id FROM patients.patient_identifier AS taken
                   WHERE taken.system = wanted.system AND taken.value = wanted.value
                   OFFSET 0
               ) AS held",
            &systems,
            &values,
        )
        .fetch_all(&mut *transaction)
        .await?;
        // Found by their address alone, as in crate::storage.
        let of_emails = sqlx::query_scalar!(
            "SELECT same.id
               FROM unnest($1::text[]) AS wanted (email)
               CROSS JOIN LATERAL (
                   SELECT id, deleted_at, merged_into FROM patients.patient
                   WHERE lower(email) = wanted.email
                   OFFSET 0
               ) AS same
               WHERE deleted_at IS NULL AND merged_into IS NULL",
            &emails,
        )
        .fetch_all(&mut *transaction)
        .await?;
        // An exact place in the index of the search.
        let of_names = sqlx::query_scalar!(
            "SELECT found.patient_id
               FROM unnest($1::text[], $2::text[]) AS wanted (sort_key, term)
               CROSS JOIN LATERAL (
                   SELECT patient_id, gone FROM patients.search_term AS place
                   WHERE place.term = wanted.term AND place.sort_key = wanted.sort_key
                   OFFSET 0
               ) AS found
               WHERE NOT found.gone",
            &names,
            &born,
        )
        .fetch_all(&mut *transaction)
        .await?;
        let ids: BTreeSet<Uuid> = of_names
            .into_iter()
            .chain(of_emails)
            .chain(of_identifiers)
            .collect();
        let ids: Vec<Uuid> = ids.into_iter().collect();
        let mut known = Self::default();
        for patient in storage::find_all(&ids, &mut *transaction).await? {
            known.learn(&patient, batch.rule);
        }
        Ok(known)
    }

    /// From now on, this patient is there.
    fn learn(&mut self, patient: &Patient, rule: EmailRule) {
        let holder = Holder {
            id: patient.merged_into.unwrap_or(patient.id),
            key: key(patient),
            is_deleted: patient.deleted_at.is_some(),
        };
        for identifier in &patient.identifiers {
            let identifier = (identifier.system.clone(), identifier.value.clone());
            self.holders_of_identifiers
                .insert(identifier, holder.clone());
        }
        if holder.is_deleted || patient.merged_into.is_some() {
            return;
        }
        if let (EmailRule::Unique, Some(email)) = (rule, &patient.email) {
            self.by_email.insert(email.to_lowercase(), holder.clone());
        }
        self.by_name
            .entry(holder.key)
            .or_default()
            .push(patient.clone());
    }

    /// Whom a new patient meets. With what only one can have, it is who has it, if they have the same
    /// name or the same date of birth. Without, it is somebody of the same name, born on the same
    /// day, unless something that is known of both differs.
    fn meets(&self, patient: &Patient, rule: EmailRule) -> Meeting {
        let own = key(patient);
        let mut identifiers = patient.identifiers.iter().filter_map(|identifier| {
            self.holders_of_identifiers
                .get(&(identifier.system.clone(), identifier.value.clone()))
        });
        let taken = "Another patient has this identifier";
        if let Some(holder) = identifiers.next() {
            if holder.is_deleted {
                return Meeting::Taken("A deleted patient has this identifier");
            }
            return if holder.key.0 == own.0 || holder.key.1 == own.1 {
                Meeting::Same(holder.id)
            } else {
                Meeting::Taken(taken)
            };
        }
        if let (EmailRule::Unique, Some(email)) = (rule, &patient.email)
            && let Some(holder) = self.by_email.get(&email.to_lowercase())
        {
            return if holder.key == own {
                Meeting::Same(holder.id)
            } else {
                Meeting::Taken("Email address already exists")
            };
        }
        let Some(alike) = self.by_name.get(&own) else {
            return Meeting::Nobody;
        };
        let exact = patient.birth_date.precision == BirthPrecision::Day;
        let same = alike.iter().find(|other| {
            let is_sure = exact || evidence::share_something(patient, other);
            is_sure && !evidence::contradict(patient, other)
        });
        match (same, alike.first()) {
            (Some(same), _) => Meeting::Same(same.id),
            (None, Some(other)) => Meeting::Alike(other.id),
            (None, None) => Meeting::Nobody,
        }
    }
}

/// Inserts the patients, each with everything that a registered patient has.
async fn insert(
    patients: &mut [Patient],
    rule: EmailRule,
    transaction: &mut Transaction,
) -> Result<(), sqlx::Error> {
    if patients.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = patients.iter().map(|patient| patient.id).collect();
    let mut rows = Columns::default();
    for patient in patients.iter() {
        rows.push(patient)?;
    }
    let stored = sqlx::query!(
        "INSERT INTO patients.patient
             (id, version, name, email, address, date_of_birth, birth_precision, birth_estimated,
              registered_date, record, email_shared, sort_key, indexed_with)
         SELECT id, 1, name, email, address, date_of_birth, birth_precision, birth_estimated,
                registered_date, record::jsonb, $11, sort_key, $12
         FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::date[], $6::text[],
                     $7::boolean[], $8::date[], $9::text[], $10::text[])
             AS made (id, name, email, address, date_of_birth, birth_precision, birth_estimated,
                      registered_date, record, sort_key)
         RETURNING id, record_number, created_at, updated_at",
        &ids,
        &rows.names,
        &rows.emails as &[Option<String>],
        &rows.addresses as &[Option<String>],
        &rows.born,
        &rows.precisions,
        &rows.estimated,
        &rows.registered,
        &rows.records,
        &rows.sort_keys,
        rule == EmailRule::Shared,
        terms::FORM,
    )
    .fetch_all(&mut *transaction)
    .await?;
    let stored: HashMap<Uuid, (i64, DateTime<Utc>, DateTime<Utc>)> = stored
        .into_iter()
        .map(|row| (row.id, (row.record_number, row.created_at, row.updated_at)))
        .collect();
    for patient in patients.iter_mut() {
        if let Some((number, created_at, updated_at)) = stored.get(&patient.id) {
            patient.record_number = number.to_string();
            patient.created_at = *created_at;
            patient.updated_at = *updated_at;
        }
    }
    let identifiers = patients.iter().flat_map(|patient| {
        let identifiers = patient.identifiers.iter();
        identifiers.map(|identifier| {
            (
                patient.id,
                identifier.system.clone(),
                identifier.value.clone(),
            )
        })
    });
    let mut identifiers: Vec<_> = identifiers.collect();
    identifiers.sort_unstable_by(|(_, a, b), (_, c, d)| (a, b).cmp(&(c, d)));
    let owners: Vec<Uuid> = identifiers.iter().map(|(patient, ..)| *patient).collect();
    let (systems, values): (Vec<String>, Vec<String>) = identifiers
        .into_iter()
        .map(|(_, system, value)| (system, value))
        .unzip();
    sqlx::query!(
        "INSERT INTO patients.patient_identifier (patient_id, system, value)
         SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[])",
        &owners,
        &systems,
        &values,
    )
    .execute(&mut *transaction)
    .await?;
    terms::store_new(patients, transaction).await
}

/// The columns of many rows.
#[derive(Default)]
struct Columns {
    names: Vec<String>,
    emails: Vec<Option<String>>,
    addresses: Vec<Option<String>>,
    born: Vec<NaiveDate>,
    precisions: Vec<String>,
    estimated: Vec<bool>,
    registered: Vec<NaiveDate>,
    records: Vec<String>,
    sort_keys: Vec<String>,
}

impl Columns {
    fn push(&mut self, patient: &Patient) -> Result<(), sqlx::Error> {
        self.names.push(patient.name.clone());
        self.emails.push(patient.email.clone());
        self.addresses.push(patient.address.clone());
        self.born.push(patient.date_of_birth);
        let precision: &str = patient.birth_date.precision.into();
        self.precisions.push(precision.to_owned());
        self.estimated.push(patient.birth_date.estimated);
        self.registered.push(patient.registered_date);
        self.records.push(patient.document()?);
        self.sort_keys.push(terms::sort_key(patient));
        Ok(())
    }
}

/// The first version of each, and what others hear of them.
async fn announce(
    patients: &[Patient],
    job: &Job,
    transaction: &mut Transaction,
) -> Result<(), sqlx::Error> {
    history::write_all(patients, VersionKind::Create, Some(job.actor), transaction).await?;
    let change = if job.welcome {
        Change::Created
    } else {
        Change::CreatedWithoutWelcome
    };
    outbox::register_all(patients, change, transaction).await
}

/// What has become of each line, and of how many.
async fn record_lines(
    verdicts: &[Verdict],
    job: &Job,
    transaction: &mut Transaction,
) -> Result<(), sqlx::Error> {
    let lines: Vec<i64> = verdicts.iter().map(|of| of.line.cast_signed()).collect();
    let outcomes: Vec<String> = verdicts.iter().map(|of| of.outcome.to_owned()).collect();
    let patients: Vec<Option<Uuid>> = verdicts.iter().map(|of| of.patient).collect();
    let reasons: Vec<Option<String>> = verdicts.iter().map(|of| of.reason.clone()).collect();
    sqlx::query!(
        "INSERT INTO patients.import_line (import_id, line, outcome, patient_id, reason)
         SELECT $1, * FROM unnest($2::bigint[], $3::text[], $4::uuid[], $5::text[])",
        job.id,
        &lines,
        &outcomes,
        &patients as &[Option<Uuid>],
        &reasons as &[Option<String>],
    )
    .execute(&mut *transaction)
    .await?;
    let count = |outcome: &str| {
        let those = verdicts.iter().filter(|verdict| verdict.outcome == outcome);
        i32::try_from(those.count()).unwrap_or(i32::MAX)
    };
    sqlx::query!(
        "UPDATE patients.import
         SET created = created + $2, duplicates = duplicates + $3, refused = refused + $4
         WHERE id = $1",
        job.id,
        count("CREATED"),
        count("DUPLICATE"),
        count("REFUSED"),
    )
    .execute(transaction)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use api::ClinicTimeZone;
    use csv::ByteRecord;
    use schemas::{Service, together};
    use serde_json::json;
    use sqlx::migrate::Migrator;

    use super::*;
    use crate::import::{layout::Encoding, line::Reading, records};

    static SCHEMAS: LazyLock<Migrator> =
        LazyLock::new(|| together([Service::Patients, Service::Audit, Service::Auth]));

    /// How many there are, and how many come.
    const PATIENTS: i64 = 20_000;
    const LINES: u64 = 200;

    fn layout() -> Layout {
        Layout {
            encoding: Encoding::Utf8,
            delimiter: None,
            columns: Vec::new(),
            ignored: Vec::new(),
            first_byte: 0,
            first_line: 1,
        }
    }

    fn lines() -> Vec<(u64, Result<Details, String>)> {
        let reading = Reading {
            layout: &layout(),
            dates: DateFormat::YearFirst,
            now: Utc::now(),
            clinic: ClinicTimeZone::UTC,
            rule: EmailRule::Unique,
        };
        let line = |line: u64| {
            let text = json!({
                "name": format!("Zoe Line {line}"),
                "email": format!("{line}@clinic.example"),
                "dateOfBirth": "1990-01-01",
                "identifiers": [{ "system": "urn:clinic", "value": line.to_string() }],
            });
            let fields = ByteRecord::from(vec![text.to_string()]);
            (line, reading.patient(&records::Record { line, fields }))
        };
        (1..=LINES).map(line).collect()
    }

    async fn begun(database: &PgPool) -> Job {
        let (id, lease, actor) = (Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7());
        let sql = "INSERT INTO patients.import
                       (id, state, format, date_format, columns, welcome, content_length,
                        leased_by, actor_id, actor_role)
                   VALUES ($1, 'RUNNING', 'NDJSON', 'YYYY-MM-DD', '{}', false, 1, $2, $3, 'ADMIN')";
        let insert = sqlx::query(sql).bind(id).bind(lease).bind(actor);
        insert.execute(database).await.unwrap();
        Job {
            id,
            lease,
            format: FileFormat::Ndjson,
            dates: DateFormat::YearFirst,
            columns: json!({}),
            welcome: false,
            length: 1,
            layout: None,
            next_byte: 0,
            next_line: 1,
            actor,
            role: Role::Admin,
        }
    }

    /// How many rows of patients and of their index were read so far, in whatever way. One
    /// connection: what it has not told yet, nobody else knows.
    async fn read(database: &PgPool) -> i64 {
        let flush = sqlx::query("SELECT pg_stat_force_next_flush()");
        flush.execute(database).await.unwrap();
        let sql = "SELECT sum(coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0))::bigint
                   FROM pg_stat_user_tables
                   WHERE schemaname = 'patients'
                       AND relname IN ('patient', 'search_term', 'patient_identifier')";
        sqlx::query_scalar(sql).fetch_one(database).await.unwrap()
    }

    /// With what PostgreSQL knows of them or without, and also where one read of everything would
    /// cost it less than looking up each line.
    #[sqlx::test(migrator = "SCHEMAS")]
    async fn a_batch_does_not_go_through_all_patients(database: PgPool) {
        let options = database.connect_options().as_ref().clone();
        let database = store::pool_with(options, 1, std::time::Duration::from_secs(30));
        let sql = "
            WITH made AS (
                INSERT INTO patients.patient
                    (id, version, name, email, date_of_birth, registered_date, sort_key)
                SELECT gen_random_uuid(), 1, 'Zoe', n || '@synthea.example', '1990-01-01',
                       '2024-01-01', n || ' zoe'
                FROM generate_series(1, $1) AS n
                RETURNING id, sort_key
            ), listed AS (
                INSERT INTO patients.search_term
                SELECT id, '@1990-01-01', sort_key, '', false, false FROM made
            )
            INSERT INTO patients.patient_identifier (patient_id, system, value)
            SELECT id, 'urn:clinic', sort_key FROM made";
        let insert = sqlx::query(sql).bind(PATIENTS);
        insert.execute(&database).await.unwrap();
        for is_counted in [false, true] {
            if is_counted {
                let analyze = sqlx::query("ANALYZE");
                analyze.execute(&database).await.unwrap();
            }
            let before = read(&database).await;
            let mut job = begun(&database).await;
            let batch = Batch {
                lines: lines(),
                next_byte: 1,
                next_line: LINES + 1,
                today: Utc::now().date_naive(),
                rule: EmailRule::Unique,
            };
            assert!(write(&database, &mut job, &batch).await.unwrap());
            let read = read(&database).await - before;
            assert!(read < PATIENTS / 2, "{read}, counted: {is_counted}");
        }
    }
}
