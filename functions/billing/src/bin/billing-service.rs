//! Serves the services of `billing.v1` until SIGTERM or SIGINT. `billing-service health` asks such a
//! process whether it runs.

use std::env;

use billing::service::{Service, Settings, ask_health, stop_signal};
use tokio::net::TcpListener;

#[tokio::main]
pub(crate) async fn main() -> Result<(), api::Error> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        // The local stack has one program for everything, which is told its name.
        [] | ["billing-service"] => serve().await,
        ["health"] => Ok(ask_health().await?),
        _ => Err("usage: billing-service [health]".into()),
    }
}

async fn serve() -> Result<(), api::Error> {
    telemetry::start_logging();
    let Settings {
        listen,
        database,
        token,
        limits,
        clinic,
    } = Settings::from_env()?;
    // Before anybody calls.
    store::renew_tokens().await;
    let stop = stop_signal()?;
    let listener = TcpListener::bind(&listen)
        .await
        .map_err(|error| format!("cannot listen on {listen}: {error}"))?;
    Service::new(database, token, limits)
        .of(clinic)
        .serve(listener, stop)
        .await?;
    Ok(())
}
