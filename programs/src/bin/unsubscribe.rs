//! `GET /unsubscribe/{token}` and `POST /unsubscribe/{token}`. Made by `make generate`.

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let routes = notifications::unsubscribe::routes;
    route::serve("unsubscribe", routes).await
}
