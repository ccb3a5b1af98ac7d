//! `GET /api/groups/{id}`. Made by `make generate`.

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let routes = patients::get_group::routes;
    route::serve("get-group", routes).await
}
