//! `GET /api/charges/{id}`. Made by `make generate`.

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let routes = billing::get_charge::routes;
    route::serve("get-charge", routes).await
}
