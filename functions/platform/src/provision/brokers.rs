//! Where the brokers of a cluster in Amazon MSK are.

use anyhow::Context as _;
use aws_sdk_kafka::Client;
use store::SdkConfig;

/// The brokers of the cluster with this ARN, as `host:port` separated by commas.
///
/// Of the listeners that a cluster may have, this is the one without TLS and SASL: it is
/// the one that the functions speak, inside the VPC that they share with the brokers.
pub(crate) async fn look_up(aws: &SdkConfig, cluster: &str) -> anyhow::Result<String> {
    let brokers = Client::new(aws)
        .get_bootstrap_brokers()
        .cluster_arn(cluster)
        .send()
        .await
        .context("MSK does not say where the brokers are")?;
    brokers
        .bootstrap_broker_string
        .filter(|brokers| !brokers.is_empty())
        .context("the cluster has no plaintext listener, which the functions need")
}
