//! `POST /api/patients/merges`. Made by `make generate`.

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let routes = patients::merge_patients::routes;
    route::serve("merge-patients", routes).await
}
