//! Taking and leaving slots. The database decides who gets one.

use std::ops::Bound;

use api::{Conflict, ConflictReason, Problem};
use chrono::{DateTime, Utc};
use sqlx::postgres::types::PgRange;
use store::Transaction;
use uuid::Uuid;

use super::plan::Plan;
use crate::{
    period::Period,
    schedule::calendar::{Bookable, Calendar, LONGEST, Occupied},
};

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

/// What may stand in the way of an appointment.
#[derive(Debug)]
pub(crate) struct InTheWay {
    /// What the patient has, in the order of the starts.
    of_patient: Vec<(Uuid, Period)>,
    /// Whether a hold that has expired still takes up a resource.
    pub(crate) expired_holds: bool,
}

impl InTheWay {
    /// Reads what takes up these resources during this period, into the calendar, and what the patient
    /// has during that one. Holds that have expired by `now` take up nothing.
    pub(crate) async fn look(
        transaction: &mut Transaction,
        calendar: &mut Calendar,
        resources: &[Bookable],
        during: Period,
        patient: Option<(Uuid, Period)>,
        now: DateTime<Utc>,
    ) -> Result<Self, sqlx::Error> {
        let numbers: Vec<i32> = resources.iter().map(|resource| resource.number).collect();
        let (patient, period) = patient.unzip();
        let rows = sqlx::query!(
            r#"SELECT resource_number AS "resource_number?", appointment_id AS "appointment_id!",
                      service_id AS "service_id!", lower(seats) AS "first_seat?",
                      upper(seats) AS "end_seat?", lower(during) AS "starts_at!",
                      upper(during) AS "ends_at!",
                      appointment_id IN (
                          SELECT id FROM appointments.appointment
                          WHERE status = 'PENDING' AND hold_expires_at <= $5
                      ) AS "is_expired!"
               FROM appointments.occupancy
               WHERE resource_number = ANY($1) AND upper(during) > $2 AND lower(during) < $3
                   AND upper(during) < $4
               UNION ALL
               SELECT NULL, id, service_id, NULL, NULL, starts_at, ends_at, false
               FROM appointments.appointment
               WHERE patient_id = $6 AND status IN ('PENDING', 'BOOKED', 'ARRIVED', 'FULFILLED')
                   AND (hold_expires_at IS NULL OR hold_expires_at > $5)
                   AND starts_at > $7 AND starts_at < $9 AND ends_at > $8
               ORDER BY 6"#,
            &numbers,
            during.start,
            during.end,
            // Follows from the third, but the index does not know that.
            during.end + LONGEST,
            now,
            patient,
            // Likewise from the eighth.
            period.map(|period| period.start - LONGEST),
            period.map(|period| period.start),
            period.map(|period| period.end),
        )
        .fetch_all(transaction)
        .await?;
        let (mut occupied, mut of_patient) = (Vec::with_capacity(rows.len()), Vec::new());
        let mut expired_holds = false;
        for row in rows {
            let period = Period::new(row.starts_at, row.ends_at);
            match (row.resource_number, row.first_seat.zip(row.end_seat)) {
                _ if row.is_expired => expired_holds = true,
                (Some(number), Some((first, end))) => {
                    let taken = Occupied {
                        appointment: row.appointment_id,
                        service: row.service_id,
                        seats: first..end,
                        period,
                    };
                    occupied.push((number, taken));
                }
                _ => of_patient.push((row.appointment_id, period)),
            }
        }
        calendar.occupy(resources, occupied);
        Ok(Self {
            of_patient,
            expired_holds,
        })
    }

    /// The other appointments that the patient has at any of these times.
    pub(crate) fn busy(&self, times: &[Period], except: Option<Uuid>) -> Vec<Conflict> {
        let others = self.of_patient.iter().filter(|(id, period)| {
            Some(*id) != except && times.iter().any(|time| time.overlaps(*period))
        });
        let conflicts = others.map(|(id, period)| Conflict {
            reason: ConflictReason::PatientBusy,
            resource_id: None,
            appointment_id: Some(*id),
            start: period.start,
            end: period.end,
        });
        conflicts.collect()
    }
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

/// What is planned, as the database stores it: the numbers of the resources, and the seats of each.
pub(crate) fn wanted(plan: &Plan) -> (Vec<i32>, Vec<PgRange<i32>>) {
    let seats = plan.seats.iter().map(|(_, number, seats)| {
        let seats = PgRange {
            start: Bound::Included(seats.start),
            end: Bound::Excluded(seats.end),
        };
        (*number, seats)
    });
    seats.unzip()
}

/// Rejects what the database has found not to be free, so that it has taken up less than was planned.
/// The locks do not let that happen.
///
/// # Errors
/// 409.
pub(crate) fn must_be_whole(plan: &Plan, taken: u64) -> Result<(), Problem> {
    if taken == plan.seats.len() as u64 {
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
    let (numbers, seats) = wanted(plan);
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
    must_be_whole(plan, taken.rows_affected())
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
