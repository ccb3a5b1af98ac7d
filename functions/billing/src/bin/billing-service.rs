//! Serves `billing.v1.BillingService` until SIGTERM or SIGINT.

use billing::service::{Service, Settings, stop_signal};
use tokio::net::TcpListener;

#[tokio::main]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let Settings {
        listen,
        database,
        token,
        limits,
    } = Settings::from_env()?;
    let stop = stop_signal()?;
    let listener = TcpListener::bind(&listen)
        .await
        .map_err(|error| format!("cannot listen on {listen}: {error}"))?;
    Service::new(database, token, limits)
        .serve(listener, stop)
        .await?;
    Ok(())
}
