//! `GET /api/resources/{id}/absences`. Made by `make generate`.

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let routes = appointments::list_absences::routes;
    route::serve("list-absences", routes).await
}
