//! `DELETE /api/resources/{id}/exceptions/{date}`. Made by `make generate`.

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let routes = appointments::remove_exception::routes;
    route::serve("remove-exception", routes).await
}
