//! Every event on `appointment.events.v1`: what took place is charged, once.
//!
//! The billing service keeps which version of an appointment its charges are of, so that events may
//! come again, late, or in another order. Without an account the event fails, and comes again until it
//! is there. Without a price the charge waits on a worklist, and nobody else does.

use billing_client::{BillingClient, BillingError};
use contracts::billing::v1::{AppointmentChargeItem, RecordAppointmentChargesRequest};
use events::{AppointmentChange, AppointmentEvent, Effect};

/// Records what this event says is to be charged.
///
/// # Errors
/// If the billing service does not respond, or the patient has no account yet.
pub async fn record_appointment_charges(
    billing: &BillingClient,
    event: &AppointmentEvent,
) -> Result<Effect, BillingError> {
    let Some(items) = items(event) else {
        return Ok(Effect::Ignored);
    };
    let recorded = billing
        .record_appointment_charges(RecordAppointmentChargesRequest {
            appointment_id: event.appointment_id.to_string(),
            appointment_version: event.appointment_version.cast_unsigned(),
            patient_id: event.patient_id.to_string(),
            items,
        })
        .await?;
    Ok(if recorded.out_of_date {
        Effect::OutOfDate
    } else {
        Effect::Applied
    })
}

/// What is to be charged; nothing for an appointment that did not take place after all. None if the event
/// says nothing about that.
fn items(event: &AppointmentEvent) -> Option<Vec<AppointmentChargeItem>> {
    match event.change {
        AppointmentChange::Fulfilled => Some(vec![AppointmentChargeItem {
            code: event.appointment.service_code.clone(),
            quantity: 1,
            service_date: event.appointment.local_start.date().to_string(),
        }]),
        AppointmentChange::Cancelled { .. }
        | AppointmentChange::NoShow
        | AppointmentChange::Arrived { .. } => Some(Vec::new()),
        AppointmentChange::Booked
        | AppointmentChange::Rescheduled { .. }
        | AppointmentChange::Orphaned => None,
    }
}
