//! Called by CloudWatch Logs, with lines of the API's access log.

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let database = store::pool("record-refusals")?;
    let bound = audit::record_refusals::Bound::from_env()?;
    audit::record_refusals::serve(database, bound).await
}
