//! Which port each service listens on, and who is in the way.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use crate::files;
use crate::processes::Supervisor;
use crate::service::Service;
use crate::settings::Settings;

/// The port of every service of a stack, all on 127.0.0.1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ports(BTreeMap<Service, u16>);

impl Ports {
    /// The port of a service.
    #[must_use]
    pub fn of(&self, service: Service) -> u16 {
        self.0
            .get(&service)
            .copied()
            .unwrap_or_else(|| service.default_port())
    }

    /// The address that the service listens on.
    #[must_use]
    pub fn address_of(&self, service: Service) -> String {
        format!("127.0.0.1:{}", self.of(service))
    }

    /// Decides on the ports of the services that this stack starts, and makes sure
    /// that they are free or held by the stack's own services.
    ///
    /// # Errors
    /// If a port is taken by somebody else: the message names the port, its holder if
    /// that can be found out, and the setting to change.
    pub fn choose(settings: &Settings, supervisor: &Supervisor) -> Result<Self> {
        let remembered = if settings.free_ports {
            files::read_json::<BTreeMap<Service, u16>>(&file(settings))?.unwrap_or_default()
        } else {
            BTreeMap::new()
        };

        let promised: Vec<u16> = remembered
            .values()
            .chain(settings.ports.values())
            .copied()
            .collect();
        let mut free = free_ports(settings, &promised);
        // Listeners stay open until all ports are chosen, so that no two are the same.
        let mut reserved = Vec::new();
        let mut ports = BTreeMap::new();
        for service in Service::ALL
            .into_iter()
            .filter(|service| settings.starts(*service))
        {
            let own = supervisor.running(service)?.map(|record| record.port);
            let is_usable = |port: u16| own == Some(port) || listen(port).is_ok();
            let port = match settings.ports.get(&service) {
                Some(&port) if is_usable(port) => port,
                Some(&port) => bail!(conflict(service, port)),
                None if settings.free_ports => match remembered.get(&service) {
                    Some(&port) if is_usable(port) => port,
                    _ => {
                        let listener = free.next().context("no free port")?;
                        let port = listener.local_addr()?.port();
                        reserved.push(listener);
                        port
                    }
                },
                None if is_usable(service.default_port()) => service.default_port(),
                None => bail!(conflict(service, service.default_port())),
            };
            ports.insert(service, port);
        }
        for (service, port) in &ports {
            if let Some((other, _)) = ports
                .iter()
                .find(|(other, same)| *other != service && *same == port)
            {
                bail!(
                    "port {port} is set for {service} and for {other}: change {} or {}",
                    service.port_setting(),
                    other.port_setting()
                );
            }
        }
        if settings.free_ports {
            files::replace_json(&file(settings), &ports)?;
        }
        Ok(Self(ports))
    }
}

fn file(settings: &Settings) -> PathBuf {
    settings.directory.join("ports.json")
}

fn listen(port: u16) -> std::io::Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port))
}

/// Ports that nobody listens on and no service is promised, from a place of this stack's
/// own in the range.
///
/// The system gives ports from 32768 on to outgoing connections. While a service is
/// restarted, one of its clients could be given the very port that it is calling.
fn free_ports(settings: &Settings, promised: &[u16]) -> impl Iterator<Item = TcpListener> {
    const FIRST: u16 = 20_000;
    const LAST: u16 = 29_999;
    let mut place = DefaultHasher::new();
    settings.directory.hash(&mut place);
    let start = place.finish() % u64::from(LAST - FIRST + 1);
    let start = FIRST + u16::try_from(start).unwrap_or_default();
    (start..=LAST)
        .chain(FIRST..start)
        .filter(|port| !promised.contains(port))
        .filter_map(|port| listen(port).ok())
}

fn conflict(service: Service, port: u16) -> String {
    let holder = listeners::get_process_by_port(port, listeners::Protocol::TCP).map_or_else(
        |_| String::new(),
        |process| format!(" by {} (process {})", process.name, process.pid),
    );
    format!(
        "port {port}, which {service} needs, is already in use{holder}: \
         stop that program, or set {}=<another port>, or STACK_PORTS=auto for free ones",
        service.port_setting()
    )
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn stack(directory: &Path) -> (Settings, Supervisor) {
        let mut settings = Settings::from_environment().unwrap();
        settings.directory = directory.to_path_buf();
        settings.ports.clear();
        settings.database_url = None;
        settings.kafka_bootstrap_servers = None;
        settings.localstack_endpoint = None;
        settings.free_ports = true;
        let supervisor = Supervisor::new(&settings, PathBuf::from("unused"));
        (settings, supervisor)
    }

    #[test]
    fn free_ports_differ_and_are_remembered() {
        let directory = tempfile::tempdir().unwrap();
        let (settings, supervisor) = stack(directory.path());
        let ports = Ports::choose(&settings, &supervisor).unwrap();
        let mut numbers: Vec<u16> = Service::ALL.map(|service| ports.of(service)).to_vec();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), Service::ALL.len());
        assert_eq!(Ports::choose(&settings, &supervisor).unwrap(), ports);
    }

    #[test]
    fn a_remembered_port_that_is_taken_meanwhile_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let (settings, supervisor) = stack(directory.path());
        let before = Ports::choose(&settings, &supervisor).unwrap();
        let _intruder = listen(before.of(Service::Kafka)).unwrap();
        let after = Ports::choose(&settings, &supervisor).unwrap();
        assert_ne!(after.of(Service::Kafka), before.of(Service::Kafka));
        assert_eq!(after.of(Service::Postgres), before.of(Service::Postgres));
    }

    #[test]
    fn a_taken_port_is_named_with_its_setting_and_its_holder() {
        let directory = tempfile::tempdir().unwrap();
        let (mut settings, supervisor) = stack(directory.path());
        let intruder = listen(0).unwrap();
        let port = intruder.local_addr().unwrap().port();
        settings.ports.insert(Service::Billing, port);
        let error = Ports::choose(&settings, &supervisor)
            .unwrap_err()
            .to_string();
        for part in [
            &port.to_string(),
            "STACK_BILLING_PORT",
            &std::process::id().to_string(),
        ] {
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn one_port_for_two_services_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let (mut settings, supervisor) = stack(directory.path());
        let port = listen(0).unwrap().local_addr().unwrap().port();
        settings.ports.insert(Service::Billing, port);
        settings.ports.insert(Service::Kafka, port);
        let error = Ports::choose(&settings, &supervisor)
            .unwrap_err()
            .to_string();
        assert!(error.contains("STACK_BILLING_PORT"), "{error}");
        assert!(error.contains("STACK_KAFKA_PORT"), "{error}");
    }
}
