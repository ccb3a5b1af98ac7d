//! Called every day, and by whoever wants to know.

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let database = store::pool("verify-audit-trail")?;
    audit::verify_audit_trail::serve(database).await
}
