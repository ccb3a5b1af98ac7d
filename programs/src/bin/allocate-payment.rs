//! `POST /api/payments/{id}/allocations`. Made by `make generate`.

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let routes = billing::allocate_payment::routes;
    route::serve("allocate-payment", routes).await
}
