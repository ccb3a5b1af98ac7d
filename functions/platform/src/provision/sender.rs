//! The address that messages to patients come from, which SES wants to know is ours.

use anyhow::Context as _;
use aws_sdk_ses::{
    Client,
    types::VerificationStatus::{self, Pending, Success},
};
use serde::Serialize;
use store::{SdkConfig, setting};

/// The address and what SES thinks of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Sender {
    /// The address.
    pub address: String,
    /// Whether SES sends for it. If not, somebody has to follow the link that SES sent
    /// there.
    pub verified: bool,
}

/// Asks SES to verify the address, unless it or its domain is verified, or the question
/// is still open: each request sends a message there.
pub(crate) async fn provide(aws: &SdkConfig, address: String) -> anyhow::Result<Sender> {
    let ses = Client::new(aws);
    let mut statuses = statuses(&ses, &address).await?;
    let asked = statuses.contains(&Success) || statuses.contains(&Pending);
    if !asked || says_yes_to_everything() {
        ses.verify_email_identity()
            .email_address(address.as_str())
            .send()
            .await
            .context("SES cannot be asked to verify the sender")?;
        statuses = self::statuses(&ses, &address).await?;
    }
    Ok(Sender {
        verified: statuses.contains(&Success),
        address,
    })
}

/// LocalStack calls every address verified, and then refuses to send from those that
/// nobody asked it to verify. It sends no message when asked.
fn says_yes_to_everything() -> bool {
    setting("ENVIRONMENT").is_ok_and(|environment| environment == "local")
}

/// What SES knows of the address, and of its domain, which speaks for all its addresses.
async fn statuses(ses: &Client, address: &str) -> anyhow::Result<Vec<VerificationStatus>> {
    let domain = address.rsplit('@').next().unwrap_or_default();
    let answer = ses
        .get_identity_verification_attributes()
        .identities(address)
        .identities(domain)
        .send()
        .await
        .context("SES does not say whether the sender is verified")?;
    let attributes = answer.verification_attributes.into_values();
    Ok(attributes
        .map(|identity| identity.verification_status)
        .collect())
}
