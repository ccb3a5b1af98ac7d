//! `POST /api/patients/search`. Made by `make generate`.

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let routes = patients::search_patients::routes;
    route::serve("search-patients", routes).await
}
