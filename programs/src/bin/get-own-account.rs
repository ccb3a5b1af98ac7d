//! `GET /api/me`. Made by `make generate`.

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let routes = auth::get_own_account::routes;
    route::serve("get-own-account", routes).await
}
