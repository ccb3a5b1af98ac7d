//! `POST /api/groups`. Made by `make generate`.

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let routes = patients::create_group::routes;
    route::serve("create-group", routes).await
}
