//! `POST /api/patients/{id}/relationships`. Made by `make generate`.

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let routes = patients::record_relationship::routes;
    route::serve("record-relationship", routes).await
}
