//! `GET /api/availability`. Made by `make generate`.

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let routes = appointments::find_availability::routes;
    route::serve("find-availability", routes).await
}
