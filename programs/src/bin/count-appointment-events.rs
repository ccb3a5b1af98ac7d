//! Counts the events of `appointment.events.v1`.

use analytics::count_appointment_events::count;
use events::{AppointmentEvent, Batch};

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let clinic = api::ClinicTimeZone::from_env()?;
    let table = &store::Table::from_env("ANALYTICS_TABLE")?;
    events::consume_in_batches(
        "count-appointment-events",
        async |batch: Batch<'_, AppointmentEvent>| count(table, clinic, batch).await,
    )
    .await
}
