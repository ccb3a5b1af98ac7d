//! `DELETE /api/resources/{id}/absences/{absence}`. Made by `make generate`.

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let routes = appointments::remove_absence::routes;
    route::serve("remove-absence", routes).await
}
