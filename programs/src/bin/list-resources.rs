//! `GET /api/resources`. Made by `make generate`.

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let routes = appointments::list_resources::routes;
    route::serve("list-resources", routes).await
}
