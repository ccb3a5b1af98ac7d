//! `POST /api/resources`. Made by `make generate`.

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let routes = appointments::create_resource::routes;
    route::serve("create-resource", routes).await
}
