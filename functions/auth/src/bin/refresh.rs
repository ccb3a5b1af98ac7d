//! `POST /auth/refresh`

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let database = store::pool("refresh")?;
    let access = auth::access::Access::from_env()?;
    api::serve("refresh", auth::refresh::routes(database, access)).await
}
