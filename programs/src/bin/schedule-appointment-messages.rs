//! Schedules messages about the appointments that are announced on `appointment.events.v1`.

use events::AppointmentEvent;
use notifications::schedule_messages::Scheduler;

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let scheduler = &Scheduler {
        database: store::pool("schedule-appointment-messages")?,
    };
    events::consume(
        "schedule-appointment-messages",
        async |event: AppointmentEvent| Ok(scheduler.apply(&event).await?),
    )
    .await
}
