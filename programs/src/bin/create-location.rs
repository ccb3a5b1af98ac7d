//! `POST /api/locations`. Made by `make generate`.

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let routes = appointments::create_location::routes;
    route::serve("create-location", routes).await
}
