//! `DELETE /api/groups/{id}/members/{patientId}`. Made by `make generate`.

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let routes = patients::remove_group_member::routes;
    route::serve("remove-group-member", routes).await
}
