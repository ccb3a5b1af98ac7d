//! `POST /api/waitlist`. Made by `make generate`.

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let routes = appointments::join_waitlist::routes;
    route::serve("join-waitlist", routes).await
}
