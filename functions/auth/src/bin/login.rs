//! `POST /auth/login`

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let database = store::pool("login")?;
    let access = auth::access::Access::from_env()?;
    let attempts = auth::attempts::Attempts::from_env()?;
    api::serve("login", auth::login::routes(database, access, attempts)).await
}
