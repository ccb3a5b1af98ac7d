//! Called every day, by whoever wants to know, and when the run before had no time for the rest.

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let database = store::pool("verify-audit-trail")?;
    let next = next_run::NextRun::from_env("VERIFY_AUDIT_TRAIL_QUEUE_URL")?;
    audit::verify_audit_trail::serve(database, next).await
}
