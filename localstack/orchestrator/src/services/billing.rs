//! The billing service of this repository, as a native process.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use crate::context::Context;
use crate::endpoints::Endpoints;
use crate::fingerprint::Fingerprint;
use crate::ports::Ports;
use crate::processes::ServiceCommand;
use crate::progress::Step;
use crate::readiness::{self, Wanted};
use crate::service::Service;

/// Starts the service, again if it has been built anew.
///
/// # Errors
/// If it does not get ready.
pub fn start(
    context: &Context,
    step: &Step<'_>,
    ports: &Ports,
    endpoints: &Endpoints,
    program: &Path,
) -> Result<()> {
    let address = ports.address_of(Service::Billing);
    let database_url = endpoints.service_roles.url(&context.settings, "billing")?;
    let build = Fingerprint::default().with_build_of(program)?.finish();
    readiness::ensure(
        &context.supervisor,
        step,
        &Wanted {
            service: Service::Billing,
            port: ports.of(Service::Billing),
            command: ServiceCommand::new(program)
                .env("BILLING_LISTEN", &address)
                .env("BILLING_TOKEN", &endpoints.billing_token)
                .env("DATABASE_URL", &database_url)
                .env("LOG_LEVEL", &context.settings.log_level)
                .directory(&context.settings.directory)
                .depends_on(build),
            probe: &|| readiness::accepts_connections(&address),
            patience: Duration::from_secs(30),
        },
    )?;
    step.result(address.clone());
    Ok(())
}
