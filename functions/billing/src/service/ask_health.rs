//! `billing-service health`: asks the service on this machine whether it runs. In a container of its
//! own, there is no other program to ask with.

use std::{net::SocketAddr, time::Duration};

use tonic::transport::Endpoint;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use crate::service::settings::listen;

/// How long the service may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Why the service does not count as running.
#[derive(Debug, thiserror::Error)]
pub enum Unhealthy {
    /// It is not known where it is.
    #[error("BILLING_LISTEN is not an address and a port")]
    NoAddress,
    /// It cannot be reached.
    #[error("the service cannot be reached")]
    Unreachable(#[from] tonic::transport::Error),
    /// It does not answer as it should.
    #[error("the service does not say that it runs")]
    NotServing,
}

/// Asks the process as a whole, not whether its database responds: whoever starts it anew because of
/// this answer would not mend the database.
///
/// # Errors
/// Why it does not count as running.
pub async fn ask_health() -> Result<(), Unhealthy> {
    let address: SocketAddr = listen().parse().map_err(|_| Unhealthy::NoAddress)?;
    let host = if address.ip().is_unspecified() {
        "localhost".to_owned()
    } else {
        address.ip().to_string()
    };
    let endpoint = Endpoint::from_shared(format!("http://{host}:{}", address.port()))?
        .connect_timeout(PATIENCE)
        .timeout(PATIENCE);
    let mut client = HealthClient::new(endpoint.connect().await?);
    let answer = client.check(HealthCheckRequest::default()).await;
    let answer = answer.map_err(|_| Unhealthy::NotServing)?;
    if answer.into_inner().status() == ServingStatus::Serving {
        Ok(())
    } else {
        Err(Unhealthy::NotServing)
    }
}
