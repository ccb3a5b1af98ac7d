//! `POST /api/services`. Made by `make generate`.

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let routes = appointments::create_service::routes;
    route::serve("create-service", routes).await
}
