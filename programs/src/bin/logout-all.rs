//! `POST /auth/logout-all`. Made by `make generate`.

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let routes = auth::logout_all::routes;
    route::serve("logout-all", routes).await
}
