//! `POST /api/patients/imports`. Made by `make generate`.

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let routes = patients::start_import::routes;
    route::serve("start-import", routes).await
}
