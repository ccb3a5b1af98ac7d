//! Counts the events of `patient.events.v1`.

use analytics::count_patient_events::count;
use events::PatientEvent;

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let clinic = api::ClinicTimeZone::from_env()?;
    let table = &store::Table::from_env("ANALYTICS_TABLE")?;
    events::consume("count-patient-events", async |event: PatientEvent| {
        Ok(count(table, clinic, &event).await?)
    })
    .await
}
