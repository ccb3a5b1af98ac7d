//! `PUT /api/locations/{id}/closures/{date}`. Made by `make generate`.

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let routes = appointments::close_location::routes;
    route::serve("close-location", routes).await
}
