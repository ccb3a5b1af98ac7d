//! `GET /api/availability/third-next`. Made by `make generate`.

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let routes = appointments::third_next_available::routes;
    route::serve("third-next-available", routes).await
}
