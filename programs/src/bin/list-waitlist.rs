//! `GET /api/waitlist`. Made by `make generate`.

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let routes = appointments::list_waitlist::routes;
    route::serve("list-waitlist", routes).await
}
