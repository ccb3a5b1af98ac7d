//! `POST /auth/refresh`. Made by `make generate`.

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let routes = auth::refresh::routes;
    route::serve("refresh", routes).await
}
