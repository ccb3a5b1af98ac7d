//! `GET /api/notification-templates/{kind}/{language}/{channel}`. Made by `make generate`.

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let routes = notifications::get_notification_template::routes;
    route::serve("get-notification-template", routes).await
}
