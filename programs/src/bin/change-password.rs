//! `POST /auth/change-password`. Made by `make generate`.

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let routes = auth::change_password::routes;
    route::serve("change-password", routes).await
}
