//! A page of the list of patients, read and recorded in one statement.

use audit_trail::Success;
use store::Connection;
use strum::IntoStaticStr;
use uuid::Uuid;

use crate::{patient::Patient, storage::Row};

/// The order of the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum Order {
    /// Oldest record first.
    Registered,
    /// Newest record first.
    Newest,
    /// By family name, then given names.
    Name,
}

/// Which part of the list.
#[derive(Debug)]
pub(crate) struct Part {
    /// The order of the list.
    pub(crate) order: Order,
    /// By name, the sort key that the previous page ended with.
    pub(crate) after_key: String,
    /// The patient whom the previous page ended with.
    pub(crate) after: Uuid,
    /// Whether restricted patients are on it.
    pub(crate) with_restricted: bool,
    /// How many patients are shown. One more is read, and not recorded.
    pub(crate) shown: usize,
    /// How far all patients of the list are counted; 0 to spare it.
    pub(crate) counted: i64,
}

/// A patient, and the key that the list is sorted by if it is by name.
pub(crate) struct Listed {
    pub(crate) patient: Patient,
    pub(crate) sort_key: String,
}

/// A page of the list.
pub(crate) struct Page {
    /// Who is shown.
    pub(crate) listed: Vec<Listed>,
    /// Whether there is another page.
    pub(crate) goes_on: bool,
    /// How many are on the whole list, as far as they were counted.
    pub(crate) counted: i64,
}

/// The page. It is on record that its patients were read, even if a row turns out to be one that cannot be
/// decoded. `None` if nobody is there: then nothing is recorded.
///
/// # Errors
/// If the database fails.
pub(crate) async fn page_on_record(
    part: Part,
    record: Success<'_>,
    database: &Connection,
) -> Result<Option<Page>, sqlx::Error> {
    // Of the three lists, only the one that is asked for is read. Values that the planner sees are in
    // subqueries: with them, each plan looks so much cheaper than one for all values that PostgreSQL would
    // plan the statement anew each time, which takes longer than running it.
    let rows = sqlx::query!(
        r#"WITH page AS MATERIALIZED (
               (SELECT patient.*, row_number() OVER (ORDER BY id) AS place
                FROM patients.patient
                WHERE (SELECT $1) = 'REGISTERED' AND id > (SELECT $2::uuid) AND (NOT restricted OR $4)
                  AND deleted_at IS NULL AND merged_into IS NULL
                ORDER BY id LIMIT (SELECT $5::bigint + 1))
               UNION ALL
               (SELECT patient.*, row_number() OVER (ORDER BY id DESC)
                FROM patients.patient
                WHERE (SELECT $1) = 'NEWEST' AND id < (SELECT $2::uuid) AND (NOT restricted OR $4)
                  AND deleted_at IS NULL AND merged_into IS NULL
                ORDER BY id DESC LIMIT (SELECT $5::bigint + 1))
               UNION ALL
               (SELECT patient.*, row_number() OVER (ORDER BY sort_key, id)
                FROM patients.patient
                WHERE (SELECT $1) = 'NAME'
                  AND (sort_key, id) > ((SELECT $3), (SELECT $2::uuid)) AND (NOT restricted OR $4)
                  AND deleted_at IS NULL AND merged_into IS NULL
                ORDER BY sort_key, id LIMIT (SELECT $5::bigint + 1))
           ), recorded AS MATERIALIZED (
               SELECT audit.append($6, $7, $8, $9, 'SUCCEEDED', NULL, ids, NULL, NULL, $10, $11)
               FROM (SELECT array_agg(id ORDER BY place) AS ids FROM page WHERE place <= $5::bigint) AS shown
               WHERE ids IS NOT NULL
           )
           SELECT id AS "id!", version AS "version!", record_number AS "record_number!",
                  name AS "name!", email AS "email?", address AS "address?",
                  date_of_birth AS "date_of_birth!", birth_precision AS "birth_precision!",
                  birth_estimated AS "birth_estimated!", registered_date AS "registered_date!",
                  record::text AS "document!", restricted AS "restricted!", active AS "active!",
                  merged_into AS "merged_into?", deleted_at AS "deleted_at?",
                  created_at AS "created_at!", updated_at AS "updated_at!",
                  sort_key AS "sort_key!",
                  -- By the index of those in use: the table may begin with many who are not.
                  (SELECT count(*)
                   FROM (SELECT FROM patients.patient
                         WHERE deleted_at IS NULL AND merged_into IS NULL AND (NOT restricted OR $4)
                         ORDER BY id LIMIT (SELECT $12::bigint)) AS counted) AS "total!"
           FROM page
           -- What nothing refers to is not run.
           CROSS JOIN recorded
           ORDER BY place"#,
        <&str>::from(part.order),
        part.after,
        part.after_key,
        part.with_restricted,
        i64::try_from(part.shown).unwrap_or(i64::MAX - 1),
        record.id,
        record.actor,
        record.role,
        record.action,
        record.source,
        record.request_id,
        part.counted,
    )
    .fetch_all(database)
    .await?;
    let Some(counted) = rows.first().map(|row| row.total) else {
        return Ok(None);
    };
    let goes_on = rows.len() > part.shown;
    let listed = rows.into_iter().take(part.shown).map(|row| {
        let sort_key = row.sort_key;
        let patient = Patient::try_from(Row {
            id: row.id,
            version: row.version,
            record_number: row.record_number,
            name: row.name,
            email: row.email,
            address: row.address,
            date_of_birth: row.date_of_birth,
            birth_precision: row.birth_precision,
            birth_estimated: row.birth_estimated,
            registered_date: row.registered_date,
            document: row.document,
            restricted: row.restricted,
            active: row.active,
            merged_into: row.merged_into,
            deleted_at: row.deleted_at,
            created_at: row.created_at,
            updated_at: row.updated_at,
        })?;
        Ok(Listed { patient, sort_key })
    });
    Ok(Some(Page {
        listed: listed.collect::<Result<_, sqlx::Error>>()?,
        goes_on,
        counted,
    }))
}
