//! `GET /api/patients/{id}/billing-account`

use billing::get_billing_account;
use billing_client::BillingClient;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let billing = BillingClient::from_env()?;
    api::serve("get-billing-account", get_billing_account::routes(billing)).await
}
