//! `GET /api/locations`. Made by `make generate`.

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let routes = appointments::list_locations::routes;
    route::serve("list-locations", routes).await
}
