//! On a schedule, and when the previous run had no time for the rest: sends messages about
//! appointments that are due.

use mail::Mailer;
use notifications::{
    message::Clinic, public_url::PublicUrl, send_due_messages::Sender, text_message::TextMessages,
};

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let sender = Sender {
        database: store::pool("send-due-messages")?,
        mailer: Mailer::from_env()?,
        text_messages: TextMessages::default(),
        clinic: Clinic::from_env(),
        public_url: PublicUrl::from_env(),
    };
    let next = next_run::NextRun::from_env("SEND_DUE_MESSAGES_QUEUE_URL")?;
    notifications::send_due_messages::serve(sender, next).await
}
