//! `POST /api/appointments/{id}/cancel`. Made by `make generate`.

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let routes = appointments::cancel_appointment::routes;
    route::serve("cancel-appointment", routes).await
}
