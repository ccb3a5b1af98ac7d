//! Kafka: nisshi, a broker in one program, which keeps its records in one file.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use super::Service;
use crate::cache::CargoPackage;
use crate::files;
use crate::ports::Ports;
use crate::processes::ServiceCommand;
use crate::progress::Step;
use crate::readiness::{self, Wanted};
use crate::stack::Context;

/// The broker.
pub const BROKER: CargoPackage = CargoPackage {
    name: "nisshi",
    version: "0.8.1",
    program: "nisshi",
    features: "dynostore,libsql",
    duration: "about 11 minutes on 2 cores",
};

/// Starts the broker.
///
/// # Errors
/// If it does not get ready.
pub fn start(context: &Context, step: &Step<'_>, ports: &Ports, program: &Path) -> Result<()> {
    let data = context.settings.directory.join("kafka");
    files::create_folder(&data)?;
    let address = ports.address_of(Service::Kafka);
    let listener = format!("tcp://{address}");
    readiness::ensure(
        &context.supervisor,
        step,
        &Wanted {
            service: Service::Kafka,
            port: ports.of(Service::Kafka),
            command: ServiceCommand::new(program)
                .args([
                    "broker",
                    "--silent",
                    "--group-initial-rebalance-delay",
                    "0s",
                ])
                .args([
                    "--listener-url",
                    &listener,
                    "--advertised-listener-url",
                    &listener,
                ])
                .args([
                    "--storage-engine",
                    &format!("sqlite:///{}", data.join("kafka.db").display()),
                ])
                .directory(&data),
            probe: &|| readiness::speaks_kafka(&address),
            patience: Duration::from_secs(30),
        },
    )?;
    step.result(address.clone());
    Ok(())
}
