//! `GET /auth/validate`

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let gate = auth::bearer_token::Gate::from_env()?;
    api::serve("validate-token", auth::validate_token::routes(gate)).await
}
