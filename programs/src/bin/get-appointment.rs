//! `GET /api/appointments/{id}`. Made by `make generate`.

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let routes = appointments::get_appointment::routes;
    route::serve("get-appointment", routes).await
}
