//! `POST /api/patients/merges/{id}/undo`. Made by `make generate`.

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let routes = patients::undo_merge::routes;
    route::serve("undo-merge", routes).await
}
