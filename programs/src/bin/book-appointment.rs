//! `POST /api/appointments`. Made by `make generate`.

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let routes = appointments::book_appointment::routes;
    route::serve("book-appointment", routes).await
}
