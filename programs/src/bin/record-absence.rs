//! `POST /api/resources/{id}/absences`. Made by `make generate`.

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let routes = appointments::record_absence::routes;
    route::serve("record-absence", routes).await
}
