//! Cancels the appointments of patients whose deletion is announced on `patient.events.v1`.

use appointments::booking::cancel_for_deleted_patient::cancel_for_deleted_patient;
use events::PatientEvent;

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let database = &store::pool("cancel-for-deleted-patients")?;
    events::consume(
        "cancel-for-deleted-patients",
        async |event: PatientEvent| Ok(cancel_for_deleted_patient(database, &event).await?),
    )
    .await
}
