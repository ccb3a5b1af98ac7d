//! `GET /auth/validate`. Made by `make generate`.

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let routes = auth::validate_token::routes;
    route::serve("validate-token", routes).await
}
