//! `PUT /api/patients/duplicate-candidates/decision`. Made by `make generate`.

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let routes = patients::decide_duplicate::routes;
    route::serve("decide-duplicate", routes).await
}
