//! `GET /api/appointments`. Made by `make generate`.

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let routes = appointments::list_appointments::routes;
    route::serve("list-appointments", routes).await
}
