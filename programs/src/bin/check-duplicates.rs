//! `POST /api/patients/duplicates`. Made by `make generate`.

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let routes = patients::check_duplicates::routes;
    route::serve("check-duplicates", routes).await
}
