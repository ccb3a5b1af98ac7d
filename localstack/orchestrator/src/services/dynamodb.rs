//! DynamoDB: dynoxide, which LocalStack forwards all DynamoDB calls to.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use crate::context::Context;
use crate::files;
use crate::ports::Ports;
use crate::processes::ServiceCommand;
use crate::progress::Step;
use crate::readiness::{self, Wanted};
use crate::service::Service;

/// Starts the server.
///
/// # Errors
/// If it does not get ready.
pub fn start(context: &Context, step: &Step<'_>, ports: &Ports, program: &Path) -> Result<()> {
    let data = context.settings.directory.join("dynamodb");
    files::create_folder(&data)?;
    let port = ports.of(Service::Dynamodb);
    let url = url(ports);
    readiness::ensure(
        &context.supervisor,
        step,
        &Wanted {
            service: Service::Dynamodb,
            port,
            command: ServiceCommand::new(program)
                .args(["serve", "--port", &port.to_string(), "--db-path"])
                .args([data.join("dynamodb.sqlite")])
                .directory(&data),
            probe: &|| readiness::answers_http(&url),
            patience: Duration::from_secs(30),
        },
    )?;
    step.result(ports.address_of(Service::Dynamodb));
    Ok(())
}

/// Where LocalStack finds the server.
#[must_use]
pub fn url(ports: &Ports) -> String {
    format!("http://{}", ports.address_of(Service::Dynamodb))
}
