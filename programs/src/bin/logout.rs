//! `POST /auth/logout`. Made by `make generate`.

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let routes = auth::logout::routes;
    route::serve("logout", routes).await
}
