//! `GET /api/audit`

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let database = store::pool("list-audit-records")?;
    let routes = audit::list_audit_records::routes(database);
    api::serve("list-audit-records", routes).await
}
