//! Counts the events of `appointment.events.v1`.

use analytics::count_appointment_events::count;
use events::AppointmentEvent;

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let clinic = api::ClinicTimeZone::from_env()?;
    let table = &store::Table::from_env("ANALYTICS_TABLE")?;
    events::consume(
        "count-appointment-events",
        async |event: AppointmentEvent| Ok(count(table, clinic, &event).await?),
    )
    .await
}
