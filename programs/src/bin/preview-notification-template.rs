//! `POST /api/notification-templates/{kind}/{language}/{channel}/preview`. Made by `make generate`.

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let routes = notifications::preview_notification_template::routes;
    route::serve("preview-notification-template", routes).await
}
