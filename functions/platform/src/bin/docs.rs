//! `GET /docs` and `GET /docs/{proxy+}`

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    api::serve("docs", platform::docs::routes()).await
}
