//! Counts the events of `patient.events.v1`.

use analytics::count_patient_events::count;
use events::{Batch, PatientEvent};

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let clinic = api::ClinicTimeZone::from_env()?;
    let table = &store::Table::from_env("ANALYTICS_TABLE")?;
    events::consume_in_batches(
        "count-patient-events",
        async |batch: Batch<'_, PatientEvent>| count(table, clinic, batch).await,
    )
    .await
}
