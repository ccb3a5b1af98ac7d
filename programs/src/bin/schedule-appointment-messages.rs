//! Schedules the messages that follow from what is announced on `appointment.events.v1`, and has
//! those that are due already sent at once.

use events::{AppointmentEvent, Effect};
use next_run::NextRun;
use notifications::schedule_messages::Scheduler;

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let scheduler = &Scheduler {
        database: store::pool("schedule-appointment-messages")?,
    };
    let sender = &NextRun::from_env("SEND_DUE_MESSAGES_QUEUE_URL")?;
    events::consume(
        "schedule-appointment-messages",
        async |event: AppointmentEvent| {
            let effect = scheduler.apply(&event).await?;
            if effect == Effect::Applied {
                // Otherwise they are sent within a minute.
                sender.begin_with("Messages may be due.").await;
            }
            Ok(effect)
        },
    )
    .await
}
