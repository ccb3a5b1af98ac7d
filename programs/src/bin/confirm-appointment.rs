//! `POST /api/appointments/{id}/confirm`. Made by `make generate`.

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let routes = appointments::confirm_appointment::routes;
    route::serve("confirm-appointment", routes).await
}
