//! `POST /api/patients/{id}/statement/deliveries`. Made by `make generate`.

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let routes = billing::send_statement::routes;
    route::serve("send-statement", routes).await
}
