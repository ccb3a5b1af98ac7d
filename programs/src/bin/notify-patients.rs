//! Welcomes the patients whose registration is announced on `patient.events.v1`.

use events::PatientEvent;
use mail::Mailer;
use notifications::{message::Clinic, notify_patients::Notifier, pace::Pace};

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let notifier = &Notifier {
        table: store::Table::from_env("NOTIFICATIONS_TABLE")?,
        mailer: Mailer::from_env()?,
        clinic: Clinic::from_env(),
        database: store::pool("notify-patients")?,
        pace: Pace::from_env()?,
    };
    let at_a_time = notifier.pace.at_a_time();
    events::consume_side_by_side("notify-patients", at_a_time, async |event: PatientEvent| {
        Ok(notifier.notify(&event).await?)
    })
    .await
}
