//! `PUT /api/resources/{id}/hours`. Made by `make generate`.

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let routes = appointments::replace_hours::routes;
    route::serve("replace-hours", routes).await
}
