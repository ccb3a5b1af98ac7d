//! `POST /api/appointments/{id}/reschedule`. Made by `make generate`.

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let routes = appointments::reschedule_appointment::routes;
    route::serve("reschedule-appointment", routes).await
}
