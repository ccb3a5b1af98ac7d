//! `PUT /api/notification-templates/{kind}/{language}/{channel}`. Made by `make generate`.

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let routes = notifications::change_notification_template::routes;
    route::serve("change-notification-template", routes).await
}
