//! `GET /api/notifications`. Made by `make generate`.

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let routes = notifications::list_notifications::routes;
    route::serve("list-notifications", routes).await
}
