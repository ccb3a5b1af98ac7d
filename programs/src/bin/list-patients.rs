//! `GET /api/patients`. Made by `make generate`.

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let routes = patients::list_patients::routes;
    route::serve("list-patients", routes).await
}
