//! `GET /api/patients/{id}/statement/document`. Made by `make generate`.

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let routes = billing::get_statement_document::routes;
    route::serve("get-statement-document", routes).await
}
