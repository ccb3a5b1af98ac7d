//! `GET /docs` and `GET /docs/{file+}`. Made by `make generate`.

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let routes = platform::docs::routes;
    route::serve("docs", routes).await
}
