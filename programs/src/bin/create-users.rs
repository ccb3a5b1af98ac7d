//! Creates accounts, invoked with `{"users": [{"email", "password", "role"}]}`.

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let database = store::pool("create-users")?;
    let rules = auth::create_users::PasswordRules::from_env();
    auth::create_users::serve(database, rules).await
}
