//! `POST /api/appointment-series`. Made by `make generate`.

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let routes = appointments::book_series::routes;
    route::serve("book-series", routes).await
}
