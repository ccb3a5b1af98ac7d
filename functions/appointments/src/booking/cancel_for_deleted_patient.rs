//! When a patient is deleted, their appointments are cancelled and they leave the waitlist. When they
//! are erased, what was written about them goes, too.

use events::{Change as PatientChange, Effect, PatientEvent};
use sqlx::PgPool;
use store::Transaction;
use uuid::Uuid;

use super::{
    appointment::{self, By, Change},
    occupancy,
    status::Status,
};
use crate::clock;
use events::AppointmentChange;

/// Why they are cancelled, in their history.
const REASON: &str = "The patient was deleted";

/// What takes the place of a reason that somebody has written.
const FORGOTTEN: &str = "The patient was erased";

/// Does what this event requires. Once it is done, there is nothing left to do.
///
/// # Errors
/// If the database does not respond.
pub async fn cancel_for_deleted_patient(
    database: &PgPool,
    event: &PatientEvent,
) -> Result<Effect, sqlx::Error> {
    let is_erased = event.change == PatientChange::Erased;
    if event.change != PatientChange::Deleted && !is_erased {
        return Ok(Effect::Ignored);
    }
    let mut transaction = Transaction::begin(database).await?;
    // What was booked under the id of a record that was merged into theirs is theirs, too.
    let mut patients =
        sqlx::query_scalar!(r#"SELECT patients.ids_of($1) AS "ids!""#, event.patient_id,)
            .fetch_one(&mut transaction)
            .await?;
    patients.sort_unstable();
    // Nothing is booked for them at the same moment, and nothing can be from now on.
    for patient in &patients {
        occupancy::lock_patient(&mut transaction, *patient).await?;
    }
    let left = sqlx::query!(
        "DELETE FROM appointments.waitlist_entry
         WHERE patient_id = ANY($1) AND appointment_id IS NULL",
        &patients,
    )
    .execute(&mut transaction)
    .await?;
    let ids = sqlx::query_scalar!(
        "SELECT id FROM appointments.appointment
         WHERE patient_id = ANY($1) AND status IN ('PENDING', 'BOOKED')
         ORDER BY starts_at, id",
        &patients,
    )
    .fetch_all(&mut transaction)
    .await?;
    let by = By {
        actor: None,
        reason: Some(REASON),
    };
    let mut cancelled = 0;
    for id in ids {
        let Some(mut stored) = appointment::lock(&mut transaction, id).await? else {
            continue;
        };
        let was_booked = stored.status == Status::Booked;
        if !was_booked && stored.status != Status::Pending {
            continue;
        }
        stored.cancel(by, REASON, clock::now());
        stored.save(&mut transaction, Change::Cancelled, by).await?;
        occupancy::leave(&mut transaction, id).await?;
        if was_booked {
            let change = AppointmentChange::Cancelled { by_patient: false };
            stored.announce(&mut transaction, change).await?;
        }
        cancelled += 1;
    }
    if is_erased {
        forget(event.patient_id, &mut transaction).await?;
    }
    transaction.commit().await?;
    Ok(if cancelled + left.rows_affected() == 0 {
        Effect::AlreadyApplied
    } else {
        Effect::Applied
    })
}

/// Removes what people have written about an erased patient's appointments. When they were, and what
/// became of them, stays.
async fn forget(patient: Uuid, transaction: &mut Transaction) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE appointments.history SET reason = NULL
         WHERE reason IS NOT NULL
           AND appointment_id IN (SELECT id FROM appointments.appointment WHERE patient_id = $1)",
        patient,
    )
    .execute(&mut *transaction)
    .await?;
    sqlx::query!(
        "UPDATE appointments.appointment
         SET cancel_reason = CASE WHEN cancel_reason IS NOT NULL THEN $2 END,
             overbook_reason = CASE WHEN overbook_reason IS NOT NULL THEN $2 END
         WHERE patient_id = $1",
        patient,
        FORGOTTEN,
    )
    .execute(transaction)
    .await?;
    Ok(())
}
