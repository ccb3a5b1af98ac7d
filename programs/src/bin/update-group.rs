//! `PUT /api/groups/{id}`. Made by `make generate`.

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let routes = patients::update_group::routes;
    route::serve("update-group", routes).await
}
