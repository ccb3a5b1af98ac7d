//! `compare-appointment-charges`, every day and whenever somebody wants to know: whether what took place
//! is charged, and what is charged took place.
//!
//! Charges follow from events. An event that is lost, or an outage that nobody has seen to, leaves no other
//! trace than that something is missing here. So this asks the appointments service what took place, and
//! looks for the charges, the other way round as well.

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use sqlx::PgPool;
use store::Transaction;
use telemetry::{Metrics, Unit};

/// For how long an event may be on its way.
const ON_ITS_WAY: TimeDelta = TimeDelta::hours(1);

/// How far back it looks.
const LOOKS_BACK: TimeDelta = TimeDelta::days(400);

/// How long before its charge an appointment may have taken place: an event may wait for 7 days on Kafka,
/// and for 14 days among the dead letters.
const CHARGED_WITHIN: TimeDelta = TimeDelta::days(31);

/// How many of what is wrong are named.
const MOST_NAMED: i64 = 100;

/// What was found.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Compared {
    /// Whether both agree.
    pub agree: bool,
    /// How many appointments took place in the time that was looked at.
    pub appointments: i64,
    /// What is wrong, the first hundred.
    pub differences: Vec<Difference>,
    /// Since when, and until when, they took place.
    pub since: DateTime<Utc>,
    /// See `since`.
    pub until: DateTime<Utc>,
}

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    /// What.
    pub kind: DifferenceKind,
    /// The appointment.
    pub appointment_id: uuid::Uuid,
}

/// What can be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, sqlx::Type)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[sqlx(type_name = "text", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum DifferenceKind {
    /// It took place, and nothing was ever charged for it, nor does anything wait for a price; nor has
    /// somebody cancelled or credited it on purpose. If that was charged to another patient, nothing is
    /// decided until somebody charges its own patient by hand.
    NotCharged,
    /// It is charged, and has not taken place.
    NotFulfilled,
    /// It is charged to another patient, or is on their invoice: that of the one with whose record theirs
    /// was merged, before that was undone.
    OfAnotherPatient,
}

/// Compares what has taken place until an hour ago, and what is charged.
///
/// # Errors
/// If the database does not answer. Then nothing is said about the charges.
pub async fn compare_appointment_charges(database: &PgPool) -> Result<Compared, sqlx::Error> {
    compare_at(database, Utc::now()).await
}

/// The same as if it were another time.
///
/// # Errors
/// As above.
pub async fn compare_at(database: &PgPool, now: DateTime<Utc>) -> Result<Compared, sqlx::Error> {
    let mut view = Transaction::begin(database).await?;
    // Much of it is read, which takes longer than any request may.
    for setting in [
        "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY",
        "SET LOCAL statement_timeout = '10min'",
    ] {
        sqlx::query(setting).execute(&mut view).await?;
    }
    let since = sqlx::query_scalar!("SELECT since FROM billing.charged_since")
        .fetch_one(&mut view)
        .await?
        .max(now - LOOKS_BACK);
    let until = now - ON_ITS_WAY;
    let appointments = sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM appointments.fulfilled_since($1)
           WHERE fulfilled_at < $2"#,
        since,
        until,
    )
    .fetch_one(&mut view)
    .await?;
    let differences = differences(&mut view, since, until).await?;
    view.rollback().await?;
    Ok(Compared {
        agree: differences.is_empty(),
        appointments,
        differences,
        since,
        until,
    })
}

/// What differs, in this view of the database.
async fn differences(
    view: &mut Transaction,
    since: DateTime<Utc>,
    until: DateTime<Utc>,
) -> Result<Vec<Difference>, sqlx::Error> {
    // A charge stands unless it is cancelled, has to be, or was credited as a whole. Once patients are
    // erased, nobody knows any more which of them were one.
    sqlx::query_as!(
        Difference,
        r#"WITH fulfilled AS MATERIALIZED (
               SELECT took_place.*, account.erased_at IS NOT NULL AS is_erased
               FROM appointments.fulfilled_since($3) AS took_place
               LEFT JOIN billing.account ON account.patient_id = took_place.patient_id
           ), standing AS MATERIALIZED (
               SELECT charge.id, charge.source_id AS appointment_id, account.patient_id,
                      account.erased_at IS NOT NULL AS is_erased
               FROM billing.charge
               JOIN billing.account ON account.id = charge.account_id
               WHERE charge.source_type = 'APPOINTMENT' AND charge.created_at >= $1
                   AND charge.state <> 'CANCELLED'
                   AND NOT charge.needs_credit_note AND NOT charge.corrected
                   AND NOT EXISTS (
                       SELECT FROM billing.invoice_line AS line
                       JOIN billing.credit_note_line AS credited ON credited.invoice_line_id = line.id
                       WHERE line.charge_id = charge.id AND line.live
                       GROUP BY line.id
                       HAVING sum(credited.total) = line.total
                   )
           ), of_whom AS (
               SELECT appointment_id, patient_id, is_erased FROM standing
               UNION ALL
               SELECT standing.appointment_id, account.patient_id, account.erased_at IS NOT NULL
               FROM standing
               JOIN billing.invoice_line AS line ON line.charge_id = standing.id AND line.live
               JOIN billing.invoice ON invoice.id = line.invoice_id AND invoice.state = 'ISSUED'
               JOIN billing.account ON account.id = invoice.account_id
           )
           SELECT kind AS "kind!: DifferenceKind", appointment_id AS "appointment_id!"
           FROM (
               SELECT 'NOT_CHARGED' AS kind, appointment_id
               FROM fulfilled
               WHERE fulfilled_at >= $1 AND fulfilled_at < $2 AND NOT EXISTS (
                   SELECT FROM standing WHERE standing.appointment_id = fulfilled.appointment_id
               ) AND NOT EXISTS (
                   SELECT FROM billing.charge
                   JOIN billing.account ON account.id = charge.account_id
                   WHERE charge.source_type = 'APPOINTMENT'
                       AND charge.source_id = fulfilled.appointment_id
                       AND NOT charge.corrected AND NOT charge.needs_credit_note
                       AND (account.patient_id = fulfilled.patient_id
                            OR account.erased_at IS NOT NULL OR fulfilled.is_erased
                            OR patients.canonical(account.patient_id)
                                = patients.canonical(fulfilled.patient_id)
                            OR EXISTS (
                                SELECT FROM billing.charge AS by_hand
                                JOIN billing.account AS theirs ON theirs.id = by_hand.account_id
                                WHERE by_hand.source_type IS NULL AND by_hand.code = charge.code
                                    AND by_hand.service_date = charge.service_date
                                    AND theirs.patient_id
                                        = ANY(patients.ids_of(fulfilled.patient_id))
                            ))
               )
               UNION
               SELECT 'NOT_FULFILLED', appointment_id
               FROM standing
               WHERE NOT EXISTS (
                   SELECT FROM fulfilled WHERE fulfilled.appointment_id = standing.appointment_id
               ) AND standing.appointment_id NOT IN (SELECT appointments.changed_since($2))
               UNION
               SELECT 'OF_ANOTHER_PATIENT', appointment_id
               FROM of_whom
               JOIN fulfilled USING (appointment_id)
               WHERE of_whom.patient_id <> fulfilled.patient_id
                   AND NOT of_whom.is_erased AND NOT fulfilled.is_erased
                   AND patients.canonical(of_whom.patient_id)
                       <> patients.canonical(fulfilled.patient_id)
           ) AS difference
           ORDER BY kind, appointment_id
           LIMIT $4"#,
        since,
        until,
        since - CHARGED_WITHIN,
        MOST_NAMED,
    )
    .fetch_all(view)
    .await
}

/// Says in the log and in the metrics what was found: an alarm watches these.
pub fn report(found: &Compared) {
    let appointments = found.appointments;
    if found.agree {
        tracing::info!(appointments, "what took place is charged");
    } else {
        let differences = serde_json::to_string(&found.differences).unwrap_or_default();
        tracing::error!(
            appointments,
            differences,
            "what took place is not what is charged"
        );
    }
    Metrics::of_function("compare-appointment-charges")
        .metric(
            "ChargesDiffer",
            Unit::Count,
            if found.agree { 0.0 } else { 1.0 },
        )
        .property("message", "comparison")
        .emit();
}
