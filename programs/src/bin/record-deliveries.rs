//! Records what SES tells of messages that it has sent.

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let database = store::pool("record-deliveries")?;
    let table = store::Table::from_env("NOTIFICATIONS_TABLE")?;
    notifications::record_deliveries::serve(database, table).await
}
