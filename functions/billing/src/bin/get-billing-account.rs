//! `GET /api/patients/{id}/billing-account`

use billing::get_billing_account;
use billing_client::BillingClient;

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let database = store::pool("get-billing-account")?;
    let billing = BillingClient::from_env()?;
    let routes = get_billing_account::routes(database, billing);
    api::serve("get-billing-account", routes).await
}
