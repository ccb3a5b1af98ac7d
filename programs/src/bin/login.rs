//! `POST /auth/login`. Made by `make generate`.

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let routes = auth::login::routes;
    route::serve("login", routes).await
}
