//! Records what SES tells of messages that it has sent.

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let database = store::pool("record-deliveries")?;
    notifications::record_deliveries::serve(database).await
}
