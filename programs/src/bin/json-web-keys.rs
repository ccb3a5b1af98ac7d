//! `GET /auth/.well-known/jwks.json`. Made by `make generate`.

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let routes = auth::json_web_keys::routes;
    route::serve("json-web-keys", routes).await
}
