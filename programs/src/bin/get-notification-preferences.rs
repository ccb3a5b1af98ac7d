//! `GET /api/patients/{id}/notification-preferences`. Made by `make generate`.

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let routes = notifications::get_notification_preferences::routes;
    route::serve("get-notification-preferences", routes).await
}
