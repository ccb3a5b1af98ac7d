//! Who would like to come, or to come earlier. It suggests slots, and never books by itself.

pub mod join_waitlist;
pub mod leave_waitlist;
pub mod list_waitlist;

use store::Transaction;

use crate::booking::appointment::Stored;

/// Takes a patient off the waitlist for whom this has been booked, where they wanted it then.
pub(crate) async fn fulfil(
    transaction: &mut Transaction,
    appointment: &Stored,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE appointments.waitlist_entry
         SET appointment_id = $1, version = version + 1
         WHERE patient_id = $2 AND service_id = $3 AND appointment_id IS NULL
             AND (resource_id IS NULL OR resource_id = ANY($4))
             AND $5 BETWEEN first_day AND last_day",
        appointment.id,
        appointment.patient_id,
        appointment.service_id,
        &appointment.resource_ids,
        appointment.local_start.date(),
    )
    .execute(transaction)
    .await?;
    Ok(())
}
