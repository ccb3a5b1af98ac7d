//! `GET /api/patients/{id}/billing-account`. Made by `make generate`.

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let routes = billing::get_billing_account::routes;
    route::serve("get-billing-account", routes).await
}
