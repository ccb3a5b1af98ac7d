//! `DELETE /api/waitlist/{id}`. Made by `make generate`.

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let routes = appointments::leave_waitlist::routes;
    route::serve("leave-waitlist", routes).await
}
