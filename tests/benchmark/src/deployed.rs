//! The settings of the deployed functions.

use std::{collections::BTreeMap, env};

use anyhow::{Context as _, Result, anyhow};
use local_stack::readiness;
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Configuration {
    environment: Option<Environment>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Environment {
    variables: BTreeMap<String, String>,
}

/// The environment variables of the function with this name.
///
/// # Errors
/// If it has not been deployed.
pub(crate) fn settings(function: &str) -> Result<BTreeMap<String, String>> {
    let endpoint =
        env::var("AWS_ENDPOINT_URL").context("AWS_ENDPOINT_URL is not set: use `make bench`")?;
    // Without a signature, which LocalStack does not require: one call is not worth a service's
    // SDK.
    let url = format!("{endpoint}/2015-03-31/functions/{function}/configuration");
    let answer = readiness::get_json(&url)
        .map_err(|reason| anyhow!(reason))
        .with_context(|| format!("{function} has not been deployed"))?;
    let configuration: Configuration = serde_json::from_value(answer)?;
    Ok(configuration
        .environment
        .map(|environment| environment.variables)
        .unwrap_or_default())
}
