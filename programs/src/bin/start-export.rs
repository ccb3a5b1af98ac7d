//! `POST /api/patients/exports`. Made by `make generate`.

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let routes = patients::start_export::routes;
    route::serve("start-export", routes).await
}
