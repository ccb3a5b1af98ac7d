//! `GET /api/me`

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let database = store::pool("get-own-account")?;
    api::serve("get-own-account", auth::get_own_account::routes(database)).await
}
