//! `GET /api/services`. Made by `make generate`.

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let routes = appointments::list_services::routes;
    route::serve("list-services", routes).await
}
