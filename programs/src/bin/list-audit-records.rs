//! `GET /api/audit`. Made by `make generate`.

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let routes = audit::list_audit_records::routes;
    route::serve("list-audit-records", routes).await
}
