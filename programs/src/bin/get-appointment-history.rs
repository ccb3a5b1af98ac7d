//! `GET /api/appointments/{id}/history`. Made by `make generate`.

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let routes = appointments::get_appointment_history::routes;
    route::serve("get-appointment-history", routes).await
}
