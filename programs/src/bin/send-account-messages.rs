//! On a schedule, and when the previous run had no time for the rest: sends messages to users.

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let database = store::pool("send-account-messages")?;
    let mail = auth::send_account_messages::Mail::from_env()?;
    let next = next_run::NextRun::from_env("SEND_ACCOUNT_MESSAGES_QUEUE_URL")?;
    auth::send_account_messages::serve(database, mail, next).await
}
