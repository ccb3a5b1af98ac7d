//! `POST /api/patients/{id}/emergency-access`. Made by `make generate`.

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let routes = patients::open_in_emergency::routes;
    route::serve("open-in-emergency", routes).await
}
