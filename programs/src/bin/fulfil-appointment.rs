//! `POST /api/appointments/{id}/fulfil`. Made by `make generate`.

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let routes = appointments::fulfil_appointment::routes;
    route::serve("fulfil-appointment", routes).await
}
