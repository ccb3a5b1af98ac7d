//! `PUT /api/groups/{id}/members/{patientId}`. Made by `make generate`.

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let routes = patients::add_group_member::routes;
    route::serve("add-group-member", routes).await
}
