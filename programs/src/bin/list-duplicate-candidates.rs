//! `GET /api/patients/duplicate-candidates`. Made by `make generate`.

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let routes = patients::list_duplicate_candidates::routes;
    route::serve("list-duplicate-candidates", routes).await
}
