//! The Lambda authorizer of the API.

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging_without_answered_errors();
    auth::authorizer::serve(auth::bearer_token::Gate::from_env()?).await
}
