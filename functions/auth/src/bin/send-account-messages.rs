//! Called every minute

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let database = store::pool("send-account-messages")?;
    let mail = auth::send_account_messages::Mail::from_env()?;
    auth::send_account_messages::serve(database, mail).await
}
