//! `POST /auth/forgotten-password`. Made by `make generate`.

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let routes = auth::forgotten_password::routes;
    route::serve("forgotten-password", routes).await
}
