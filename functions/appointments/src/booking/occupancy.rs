//! Taking and leaving slots. The database decides who gets one.

use std::ops::Bound;

use api::{Conflict, ConflictReason, Problem};
use chrono::{DateTime, Utc};
use sqlx::postgres::types::PgRange;
use store::Transaction;
use uuid::Uuid;

use super::plan::Plan;
use crate::period::Period;

/// How long a request waits for others that want the same resources, in milliseconds. Less than
/// what PostgreSQL allows a statement, so that it is clear what it has waited for.
const PATIENCE: &str = "4000";

/// Lets this transaction wait for others that want the same resources, and no longer.
pub(crate) async fn be_patient(transaction: &mut Transaction) -> Result<(), sqlx::Error> {
    sqlx::query!("SELECT set_config('lock_timeout', $1, true)", PATIENCE)
        .fetch_one(transaction)
        .await?;
    Ok(())
}

/// Makes sure that nothing else is booked for this patient until the transaction ends. Resources
/// are locked after the patient, so that no two transactions wait for each other.
pub(crate) async fn lock_patient(
    transaction: &mut Transaction,
    patient: Uuid,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "SELECT set_config('lock_timeout', $2, true),
                pg_advisory_xact_lock(hashtextextended('appointments of ' || $1::text, 0))::text",
        patient.to_string(),
        PATIENCE,
    )
    .fetch_one(transaction)
    .await?;
    Ok(())
}

/// The appointments that the patient has during any of these periods.
pub(crate) async fn patient_is_busy(
    transaction: &mut Transaction,
    patient: Uuid,
    periods: &[Period],
    except: Option<Uuid>,
    now: DateTime<Utc>,
) -> Result<Vec<Conflict>, sqlx::Error> {
    let starts: Vec<DateTime<Utc>> = periods.iter().map(|period| period.start).collect();
    let ends: Vec<DateTime<Utc>> = periods.iter().map(|period| period.end).collect();
    let busy = sqlx::query!(
        "SELECT id, starts_at, ends_at FROM appointments.appointment
         WHERE patient_id = $1 AND status IN ('PENDING', 'BOOKED', 'ARRIVED', 'FULFILLED')
             AND (hold_expires_at IS NULL OR hold_expires_at > $5)
             AND id IS DISTINCT FROM $4
             AND EXISTS (
                 SELECT FROM unnest($2::timestamptz[], $3::timestamptz[]) AS wanted (start, finish)
                 WHERE starts_at < wanted.finish AND ends_at > wanted.start
             )
         ORDER BY starts_at",
        patient,
        &starts,
        &ends,
        except,
        now,
    )
    .fetch_all(transaction)
    .await?;
    let conflicts = busy.into_iter().map(|row| Conflict {
        reason: ConflictReason::PatientBusy,
        resource_id: None,
        appointment_id: Some(row.id),
        start: row.starts_at,
        end: row.ends_at,
    });
    Ok(conflicts.collect())
}

/// Cancels the holds on these resources that have expired, and frees what they took up. One that
/// somebody is just confirming or cancelling is left to them.
pub(crate) async fn expire_holds(
    transaction: &mut Transaction,
    numbers: &[i32],
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "WITH expired AS (
             SELECT id FROM appointments.appointment
             WHERE status = 'PENDING' AND hold_expires_at <= $2
                 AND EXISTS (
                     SELECT FROM appointments.occupancy
                     WHERE appointment_id = id AND resource_number = ANY($1)
                 )
             FOR UPDATE SKIP LOCKED
         ), cancelled AS (
             UPDATE appointments.appointment AS held
             SET status = 'CANCELLED', version = version + 1, hold_expires_at = NULL,
                 orphaned = false,
                 cancel_reason = 'The hold has expired', cancelled_at = $2, updated_at = $2
             FROM expired WHERE held.id = expired.id
             RETURNING held.id, held.version, held.starts_at, held.ends_at, held.resource_ids
         ), freed AS (
             DELETE FROM appointments.occupancy USING expired WHERE appointment_id = expired.id
         )
         INSERT INTO appointments.history
             (appointment_id, version, change, status, starts_at, ends_at, resource_ids, reason)
         SELECT id, version, 'HOLD_EXPIRED', 'CANCELLED', starts_at, ends_at, resource_ids,
                'The hold has expired'
         FROM cancelled",
        numbers,
        now,
    )
    .execute(transaction)
    .await?;
    Ok(())
}

/// Cancels all holds that have expired.
///
/// # Errors
/// If the database does not respond.
pub(crate) async fn expire_all_holds(
    transaction: &mut Transaction,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let numbers = sqlx::query_scalar!(
        "SELECT DISTINCT resource_number FROM appointments.occupancy
         JOIN appointments.appointment ON id = appointment_id
         WHERE status = 'PENDING' AND hold_expires_at <= $1",
        now,
    )
    .fetch_all(&mut *transaction)
    .await?;
    if numbers.is_empty() {
        return Ok(());
    }
    expire_holds(transaction, &numbers, now).await
}

/// Takes up what is planned.
///
/// # Errors
/// 409 if the database finds that it is not free, which the locks do not let happen; or if it does
/// not respond.
pub(crate) async fn take(
    transaction: &mut Transaction,
    appointment: Uuid,
    service: Uuid,
    plan: &Plan,
) -> Result<(), Problem> {
    let numbers: Vec<i32> = plan.seats.iter().map(|(_, number, _)| *number).collect();
    let seats: Vec<PgRange<i32>> = plan
        .seats
        .iter()
        .map(|(_, _, seats)| PgRange {
            start: Bound::Included(seats.start),
            end: Bound::Excluded(seats.end),
        })
        .collect();
    let taken = sqlx::query!(
        "INSERT INTO appointments.occupancy (appointment_id, resource_number, service_id, seats, during)
         SELECT $1, number, $2, seats, tstzrange($5, $6, '[)')
         FROM unnest($3::integer[], $4::int4range[]) AS wanted (number, seats)
         ON CONFLICT DO NOTHING",
        appointment,
        service,
        &numbers,
        &seats as &[PgRange<i32>],
        plan.occupied.start,
        plan.occupied.end,
    )
    .execute(transaction)
    .await?;
    if taken.rows_affected() == numbers.len() as u64 {
        return Ok(());
    }
    let conflicts = plan.seats.iter().map(|(id, ..)| Conflict {
        reason: ConflictReason::Taken,
        resource_id: Some(*id),
        appointment_id: None,
        start: plan.period.start,
        end: plan.period.end,
    });
    Err(Problem::slot_taken(conflicts.collect()))
}

/// Frees what an appointment takes up.
pub(crate) async fn leave(
    transaction: &mut Transaction,
    appointment: Uuid,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "DELETE FROM appointments.occupancy WHERE appointment_id = $1",
        appointment,
    )
    .execute(transaction)
    .await?;
    Ok(())
}
