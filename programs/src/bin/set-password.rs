//! `POST /auth/set-password`. Made by `make generate`.

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let routes = auth::set_password::routes;
    route::serve("set-password", routes).await
}
