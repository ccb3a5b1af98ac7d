//! `POST /appointment-links/{token}`. Made by `make generate`.

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let routes = appointments::use_appointment_link::routes;
    route::serve("use-appointment-link", routes).await
}
