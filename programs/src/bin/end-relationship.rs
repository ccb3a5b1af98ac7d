//! `DELETE /api/patients/{id}/relationships/{relationshipId}`. Made by `make generate`.

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let routes = patients::end_relationship::routes;
    route::serve("end-relationship", routes).await
}
