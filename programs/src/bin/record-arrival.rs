//! `POST /api/appointments/{id}/arrive`. Made by `make generate`.

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let routes = appointments::record_arrival::routes;
    route::serve("record-arrival", routes).await
}
