//! Reading and writing a patient as a whole: the row, what is unique or searched for, and the
//! history. Every change to a patient goes through [`insert`] or [`save`].

use std::slice;

use api::{OnConstraint as _, Problem};
use audit_trail::Success;
use chrono::{DateTime, NaiveDate, Utc};
use sqlx::PgExecutor;
use store::{Connection, Transaction};
use uuid::Uuid;

use crate::{
    author::Author,
    email_rule::EmailRule,
    history::{self, VersionKind},
    patient::{
        EMAIL_UNIQUE, IDENTIFIER_UNIQUE, Patient, deleted, email_taken, identifier_taken, merged,
        not_found,
    },
    patient_input::Details,
    record::{Address, BirthDate, Document, Email, Name, NameUse},
    search::terms,
};

/// A row of `patients.patient`.
pub(crate) struct Row {
    pub(crate) id: Uuid,
    pub(crate) version: i64,
    pub(crate) record_number: i64,
    pub(crate) name: String,
    pub(crate) email: Option<String>,
    pub(crate) address: Option<String>,
    pub(crate) date_of_birth: NaiveDate,
    pub(crate) birth_precision: String,
    pub(crate) birth_estimated: bool,
    pub(crate) registered_date: NaiveDate,
    pub(crate) document: String,
    pub(crate) restricted: bool,
    pub(crate) active: bool,
    pub(crate) merged_into: Option<Uuid>,
    pub(crate) deleted_at: Option<DateTime<Utc>>,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) updated_at: DateTime<Utc>,
}

impl TryFrom<Row> for Patient {
    type Error = sqlx::Error;

    fn try_from(row: Row) -> Result<Self, sqlx::Error> {
        let decode = |error: serde_json::Error| sqlx::Error::Decode(error.into());
        let document: Document = serde_json::from_str(&row.document).map_err(decode)?;
        let precision = row.birth_precision.parse();
        let precision =
            precision.map_err(|_| sqlx::Error::Decode("an unknown precision".into()))?;
        Ok(Self {
            id: row.id,
            version: row.version,
            record_number: row.record_number.to_string(),
            names: with_official(document.names, &row.name),
            emails: with_first(
                document.emails,
                row.email.as_deref(),
                |email| &email.address,
                Email::plain,
            ),
            addresses: with_first(
                document.addresses,
                row.address.as_deref(),
                |address| &address.text,
                Address::plain,
            ),
            name: row.name,
            email: row.email,
            address: row.address,
            date_of_birth: row.date_of_birth,
            registered_date: row.registered_date,
            identifiers: document.identifiers,
            phones: document.phones,
            birth_date: BirthDate::starting(row.date_of_birth, precision, row.birth_estimated),
            sex: document.sex,
            gender_identity: document.gender_identity,
            language: document.language,
            deceased: document.deceased,
            deceased_date: document.deceased_date,
            contacts: document.contacts,
            restricted: row.restricted,
            active: row.active,
            merged_into: row.merged_into,
            deleted_at: row.deleted_at,
            created_at: row.created_at,
            updated_at: row.updated_at,
        })
    }
}

fn with_official(mut names: Vec<Name>, text: &str) -> Vec<Name> {
    match names.first() {
        Some(first) if first.r#use == NameUse::Official && first.text == text => {}
        _ => {
            names.retain(|name| name.r#use != NameUse::Official);
            names.insert(0, Name::plain(text.to_owned()));
        }
    }
    names
}

fn with_first<T>(
    mut entries: Vec<T>,
    first: Option<&str>,
    text: impl Fn(&T) -> &String,
    plain: impl Fn(String) -> T,
) -> Vec<T> {
    match (first, entries.first()) {
        (Some(first), Some(entry)) if text(entry) == first => {}
        (Some(first), Some(_)) => entries[0] = plain(first.to_owned()),
        (Some(first), None) => entries.push(plain(first.to_owned())),
        (None, _) => entries.clear(),
    }
    entries
}

/// The patient, also one who is deleted or merged into another. Who was merged is as restricted and
/// as deleted as the record that continues theirs.
///
/// # Errors
/// If the database fails.
pub async fn find(id: Uuid, database: impl PgExecutor<'_>) -> Result<Option<Patient>, sqlx::Error> {
    let row = sqlx::query_as!(
        Row,
        r#"SELECT own.id, own.version, own.record_number, own.name, own.email, own.address,
                  own.date_of_birth, own.birth_precision, own.birth_estimated, own.registered_date,
                  own.record::text AS "document!",
                  own.restricted OR coalesce(survivor.restricted, false) AS "restricted!",
                  own.active, own.merged_into,
                  coalesce(own.deleted_at, survivor.deleted_at) AS deleted_at,
                  own.created_at, own.updated_at
           FROM patients.patient AS own
           LEFT JOIN patients.patient AS survivor ON survivor.id = own.merged_into
           WHERE own.id = $1"#,
        id,
    )
    .fetch_optional(database)
    .await?;
    row.map(TryInto::try_into).transpose()
}

/// Like [`find`], and records in the same statement that the patient was read, unless they are deleted,
/// or restricted and the reader may not see that. Says whether it has.
///
/// # Errors
/// If the database fails.
pub(crate) async fn find_on_record(
    id: Uuid,
    sees_restricted: bool,
    record: Success<'_>,
    database: &Connection,
) -> Result<Option<(Patient, bool)>, sqlx::Error> {
    let found = sqlx::query!(
        r#"WITH found AS MATERIALIZED (
               SELECT own.id, own.version, own.record_number, own.name, own.email, own.address,
                      own.date_of_birth, own.birth_precision, own.birth_estimated,
                      own.registered_date, own.record::text AS document,
                      own.restricted OR coalesce(survivor.restricted, false) AS restricted,
                      own.active, own.merged_into,
                      coalesce(own.deleted_at, survivor.deleted_at) AS deleted_at,
                      own.created_at, own.updated_at
               FROM patients.patient AS own
               LEFT JOIN patients.patient AS survivor ON survivor.id = own.merged_into
               WHERE own.id = $1
           ), recorded AS MATERIALIZED (
               SELECT audit.append($2, $3, $4, $5, 'SUCCEEDED', NULL, ARRAY[id], NULL, NULL, $6, $7)
               FROM found
               WHERE deleted_at IS NULL AND (NOT restricted OR $8)
           )
           SELECT id AS "id!", version AS "version!", record_number AS "record_number!",
                  name AS "name!", email AS "email?", address AS "address?",
                  date_of_birth AS "date_of_birth!", birth_precision AS "birth_precision!",
                  birth_estimated AS "birth_estimated!", registered_date AS "registered_date!",
                  document AS "document!", restricted AS "restricted!", active AS "active!",
                  merged_into AS "merged_into?", deleted_at AS "deleted_at?",
                  created_at AS "created_at!", updated_at AS "updated_at!",
                  -- What nothing refers to is not run.
                  EXISTS (SELECT FROM recorded) AS "is_recorded!"
           FROM found"#,
        id,
        record.id,
        record.actor,
        record.role,
        record.action,
        record.source,
        record.request_id,
        sees_restricted,
    )
    .fetch_optional(database)
    .await?;
    let Some(found) = found else { return Ok(None) };
    let row = Row {
        id: found.id,
        version: found.version,
        record_number: found.record_number,
        name: found.name,
        email: found.email,
        address: found.address,
        date_of_birth: found.date_of_birth,
        birth_precision: found.birth_precision,
        birth_estimated: found.birth_estimated,
        registered_date: found.registered_date,
        document: found.document,
        restricted: found.restricted,
        active: found.active,
        merged_into: found.merged_into,
        deleted_at: found.deleted_at,
        created_at: found.created_at,
        updated_at: found.updated_at,
    };
    Ok(Some((row.try_into()?, found.is_recorded)))
}

/// These patients, in this order. Who is not there is left out. Each is looked up by itself, as OFFSET
/// says: a join would rather read all there are.
///
/// # Errors
/// If the database fails.
pub async fn find_all(
    ids: &[Uuid],
    database: impl PgExecutor<'_>,
) -> Result<Vec<Patient>, sqlx::Error> {
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT id, version, record_number, name, email, address, date_of_birth, birth_precision,
                  birth_estimated, registered_date, record::text AS "document!", restricted, active,
                  merged_into, deleted_at, created_at, updated_at
           FROM unnest($1::uuid[]) WITH ORDINALITY AS asked (asked_id, place)
           CROSS JOIN LATERAL (
               SELECT * FROM patients.patient WHERE id = asked_id OFFSET 0
           ) AS patient
           ORDER BY place"#,
        ids,
    )
    .fetch_all(database)
    .await?;
    rows.into_iter().map(TryInto::try_into).collect()
}

/// The patient as they are until the end of the transaction, also one who is deleted or merged. Rows that
/// refer to the patient are written meanwhile. Where several are locked, lock them in the order of their
/// ids.
///
/// # Errors
/// If the database fails.
pub async fn lock(id: Uuid, transaction: &mut Transaction) -> Result<Option<Patient>, sqlx::Error> {
    let row = sqlx::query_as!(
        Row,
        r#"SELECT id, version, record_number, name, email, address, date_of_birth, birth_precision,
                  birth_estimated, registered_date, record::text AS "document!", restricted, active,
                  merged_into, deleted_at, created_at, updated_at
           FROM patients.patient
           WHERE id = $1
           FOR NO KEY UPDATE"#,
        id,
    )
    .fetch_optional(transaction)
    .await?;
    row.map(TryInto::try_into).transpose()
}

/// The same for a patient whose row is removed: this waits for whoever refers to them, too.
///
/// # Errors
/// If the database fails.
pub async fn lock_to_erase(
    id: Uuid,
    transaction: &mut Transaction,
) -> Result<Option<Patient>, sqlx::Error> {
    let row = sqlx::query_as!(
        Row,
        r#"SELECT id, version, record_number, name, email, address, date_of_birth, birth_precision,
                  birth_estimated, registered_date, record::text AS "document!", restricted, active,
                  merged_into, deleted_at, created_at, updated_at
           FROM patients.patient
           WHERE id = $1
           FOR UPDATE"#,
        id,
    )
    .fetch_optional(transaction)
    .await?;
    row.map(TryInto::try_into).transpose()
}

/// The patient whom a client may see and change, out of what was found.
///
/// # Errors
/// 404 if there is none, or they are deleted.
pub fn in_use(found: Option<Patient>) -> Result<Patient, Problem> {
    let patient = found.ok_or_else(not_found)?;
    if patient.deleted_at.is_some() {
        return Err(deleted());
    }
    Ok(patient)
}

/// The patient whom a client may change: [`in_use`], and not merged into another.
///
/// # Errors
/// 404 like [`in_use`]; 409 if the record was merged into another.
pub fn changeable(found: Option<Patient>) -> Result<Patient, Problem> {
    let patient = in_use(found)?;
    if patient.merged_into.is_some() {
        return Err(merged());
    }
    Ok(patient)
}

/// A patient with these details.
impl Patient {
    /// Puts a client's decisions in the place of those of before.
    pub fn set(&mut self, details: Details) {
        self.name = details
            .names
            .first()
            .map(|name| name.text.clone())
            .unwrap_or_default();
        self.email = details.emails.first().map(|email| email.address.clone());
        self.address = details
            .addresses
            .first()
            .map(|address| address.text.clone());
        self.date_of_birth = details.birth_date.first_day();
        self.names = details.names;
        self.identifiers = details.identifiers;
        self.phones = details.phones;
        self.emails = details.emails;
        self.addresses = details.addresses;
        self.birth_date = details.birth_date;
        self.sex = details.sex;
        self.gender_identity = details.gender_identity;
        self.language = details.language;
        self.deceased = details.deceased;
        self.deceased_date = details.deceased_date;
        self.contacts = details.contacts;
        if let Some(date) = details.registered_date {
            self.registered_date = date;
        }
    }

    /// The document that is stored beside the flat columns.
    pub(crate) fn document(&self) -> Result<String, sqlx::Error> {
        let document = Document {
            names: self.names.clone(),
            identifiers: self.identifiers.clone(),
            phones: self.phones.clone(),
            emails: self.emails.clone(),
            addresses: self.addresses.clone(),
            sex: self.sex,
            gender_identity: self.gender_identity.clone(),
            language: self.language.clone(),
            deceased: self.deceased,
            deceased_date: self.deceased_date,
            contacts: self.contacts.clone(),
        };
        serde_json::to_string(&document).map_err(|error| sqlx::Error::Encode(error.into()))
    }
}

/// A patient with these details who is registered on this day, and not stored yet.
#[must_use]
pub fn unregistered(details: Details, registered: NaiveDate) -> Patient {
    let mut patient = Patient {
        id: Uuid::now_v7(),
        version: 1,
        record_number: String::new(),
        name: String::new(),
        email: None,
        address: None,
        date_of_birth: NaiveDate::MIN,
        registered_date: registered,
        names: Vec::new(),
        identifiers: Vec::new(),
        phones: Vec::new(),
        emails: Vec::new(),
        addresses: Vec::new(),
        birth_date: details.birth_date.clone(),
        sex: None,
        gender_identity: None,
        language: None,
        deceased: false,
        deceased_date: None,
        contacts: Vec::new(),
        restricted: false,
        active: true,
        merged_into: None,
        deleted_at: None,
        created_at: DateTime::UNIX_EPOCH,
        updated_at: DateTime::UNIX_EPOCH,
    };
    patient.set(details);
    patient
}

/// Registers a patient, and writes the first version.
///
/// # Errors
/// 409 if another patient has the e-mail address or an identifier.
pub async fn insert(
    details: Details,
    registered: NaiveDate,
    rule: EmailRule,
    author: Author,
    transaction: &mut Transaction,
) -> Result<Patient, Problem> {
    let mut patient = unregistered(details, registered);
    must_have_own_mailbox(&patient, rule, author, transaction).await?;
    let stored = sqlx::query!(
        "INSERT INTO patients.patient
             (id, version, name, email, address, date_of_birth, birth_precision, birth_estimated,
              registered_date, record, email_shared, sort_key, indexed_with)
         VALUES ($1, 1, $2, $3, $4, $5, $6, $7, $8, $9::text::jsonb, $10, $11, $12)
         RETURNING record_number, created_at, updated_at",
        patient.id,
        patient.name,
        patient.email,
        patient.address,
        patient.date_of_birth,
        <&str>::from(patient.birth_date.precision),
        patient.birth_date.estimated,
        patient.registered_date,
        patient.document()?,
        rule == EmailRule::Shared,
        terms::sort_key(&patient),
        terms::FORM,
    )
    .fetch_one(&mut *transaction)
    .await
    .on_constraint(EMAIL_UNIQUE, email_taken)?;
    patient.record_number = stored.record_number.to_string();
    patient.created_at = stored.created_at;
    patient.updated_at = stored.updated_at;
    claim_identifiers(&patient, author, transaction).await?;
    terms::store_new(slice::from_ref(&patient), transaction).await?;
    history::write(&patient, VersionKind::Create, author.id(), transaction).await?;
    Ok(patient)
}

/// Stores a patient who was [locked](lock) and then changed, and writes the version that this is.
/// The version and the time of the change are set here. With a rule, the e-mail address is held to
/// it if it is another than before, or the patient was gone; otherwise, it stays as it was.
///
/// # Errors
/// 409 if another patient has the e-mail address or an identifier.
pub async fn save(
    mut patient: Patient,
    kind: VersionKind,
    rule: Option<EmailRule>,
    author: Author,
    transaction: &mut Transaction,
) -> Result<Patient, Problem> {
    if let Some(rule) = rule {
        must_have_own_mailbox(&patient, rule, author, transaction).await?;
    }
    let stored = sqlx::query!(
        "UPDATE patients.patient
         SET version = version + 1, name = $2, email = $3, address = $4, date_of_birth = $5,
             birth_precision = $6, birth_estimated = $7, registered_date = $8,
             record = $9::text::jsonb,
             email_shared = CASE
                 WHEN lower(email) = lower($3) AND deleted_at IS NULL THEN email_shared
                 ELSE coalesce($10, email_shared)
             END,
             sort_key = $11, indexed_with = $12, restricted = $13, active = $14, merged_into = $15,
             deleted_at = $16, updated_at = GREATEST(updated_at, clock_timestamp())
         WHERE id = $1
         RETURNING version, updated_at",
        patient.id,
        patient.name,
        patient.email,
        patient.address,
        patient.date_of_birth,
        <&str>::from(patient.birth_date.precision),
        patient.birth_date.estimated,
        patient.registered_date,
        patient.document()?,
        rule.map(|rule| rule == EmailRule::Shared),
        terms::sort_key(&patient),
        terms::FORM,
        patient.restricted,
        patient.active,
        patient.merged_into,
        patient.deleted_at,
    )
    .fetch_one(&mut *transaction)
    .await
    .on_constraint(EMAIL_UNIQUE, email_taken)?;
    patient.version = stored.version;
    patient.updated_at = stored.updated_at;
    follow(&patient, author, transaction).await?;
    history::write(&patient, kind, author.id(), transaction).await?;
    Ok(patient)
}

/// Before the index decides: a refusal can name who has the address, and addresses that were
/// stored while families shared them count, too. Who has shared one keeps it.
async fn must_have_own_mailbox(
    patient: &Patient,
    rule: EmailRule,
    author: Author,
    transaction: &mut Transaction,
) -> Result<(), Problem> {
    let Some(email) = patient.email.as_ref().filter(|_| rule == EmailRule::Unique) else {
        return Ok(());
    };
    let other = sqlx::query!(
        // Materialized, and without another condition, so that they are found by their address: without
        // statistics, PostgreSQL would rather go through all patients who are in use.
        r#"WITH same AS MATERIALIZED (
               SELECT id, restricted, deleted_at, merged_into FROM patients.patient
               WHERE lower(email) = lower($1)
           )
           SELECT id AS "id!", restricted AS "restricted!" FROM same
           WHERE id <> $2 AND deleted_at IS NULL AND merged_into IS NULL
             AND NOT EXISTS (
                 SELECT FROM patients.patient AS before
                 WHERE before.id = $2 AND lower(before.email) = lower($1)
                   AND before.deleted_at IS NULL)
           ORDER BY id
           LIMIT 1"#,
        email,
        patient.id,
    )
    .fetch_optional(transaction)
    .await?;
    let Some(other) = other else { return Ok(()) };
    Err(author.told_of(email_taken(), other.id, other.restricted, false))
}

/// What is derived from the patient: who has which identifier, and what the patient is found by.
async fn follow(
    patient: &Patient,
    author: Author,
    transaction: &mut Transaction,
) -> Result<(), Problem> {
    let (systems, values) = identifiers(patient);
    sqlx::query!(
        "DELETE FROM patients.patient_identifier
         WHERE patient_id = $1
           AND (system, value) NOT IN (SELECT * FROM unnest($2::text[], $3::text[]))",
        patient.id,
        &systems,
        &values,
    )
    .execute(&mut *transaction)
    .await?;
    claim_identifiers(patient, author, transaction).await?;
    terms::store(patient, transaction).await?;
    Ok(())
}

/// Who has which identifier: those of the patient that they have not had before.
async fn claim_identifiers(
    patient: &Patient,
    author: Author,
    transaction: &mut Transaction,
) -> Result<(), Problem> {
    if patient.identifiers.is_empty() {
        return Ok(());
    }
    let (systems, values) = identifiers(patient);
    let other = sqlx::query!(
        r#"SELECT id, restricted, deleted_at IS NOT NULL AS "is_deleted!"
         FROM unnest($2::text[], $3::text[]) AS wanted (system, value)
         JOIN patients.patient_identifier AS taken USING (system, value)
         JOIN patients.patient ON id = taken.patient_id
         WHERE id <> $1
         LIMIT 1"#,
        patient.id,
        &systems,
        &values,
    )
    .fetch_optional(&mut *transaction)
    .await?;
    if let Some(other) = other {
        let told = author.told_of(
            identifier_taken(),
            other.id,
            other.restricted,
            other.is_deleted,
        );
        return Err(told);
    }
    sqlx::query!(
        "INSERT INTO patients.patient_identifier (patient_id, system, value)
         SELECT $1, wanted.*
         FROM unnest($2::text[], $3::text[]) AS wanted (system, value)
         WHERE NOT EXISTS (
             SELECT FROM patients.patient_identifier AS own
             WHERE own.system = wanted.system AND own.value = wanted.value AND patient_id = $1)
         ORDER BY wanted.system, wanted.value",
        patient.id,
        &systems,
        &values,
    )
    .execute(&mut *transaction)
    .await
    .on_constraint(IDENTIFIER_UNIQUE, identifier_taken)?;
    Ok(())
}

/// The systems of the patient's identifiers, and their values.
fn identifiers(patient: &Patient) -> (Vec<String>, Vec<String>) {
    let identifiers = patient.identifiers.iter();
    identifiers
        .map(|of| (of.system.clone(), of.value.clone()))
        .unzip()
}
