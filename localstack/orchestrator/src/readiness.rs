//! Waiting until a service that has been started can be used.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::processes::{ServiceCommand, Started, Supervisor, ended_while_starting};
use crate::progress::Step;
use crate::service::Service;
use crate::tool::LoggedFailure;

const POLL: Duration = Duration::from_millis(50);
const TIME_PER_QUESTION: Duration = Duration::from_secs(2);

/// Says why the service cannot be used yet.
pub type Probe<'a> = &'a dyn Fn() -> Result<(), String>;

/// A service as it should be running.
pub struct Wanted<'a> {
    /// Which one.
    pub service: Service,
    /// The port it listens on.
    pub port: u16,
    /// How it is started.
    pub command: ServiceCommand,
    /// How to see that it can be used.
    pub probe: Probe<'a>,
    /// How long it may take until then.
    pub patience: Duration,
}

/// Leaves the service alone if it is running as wanted, and starts it otherwise.
/// Returns whether it had to be started.
///
/// # Errors
/// If the service ends, or does not get ready in time; it has been stopped then.
pub fn ensure(supervisor: &Supervisor, step: &Step<'_>, wanted: &Wanted<'_>) -> Result<bool> {
    let service = wanted.service;
    if supervisor.running_as(service, &wanted.command)?.is_some() && (wanted.probe)().is_ok() {
        return Ok(false);
    }
    if supervisor.stop(service)? {
        step.doing("starting again");
    }
    let started = supervisor.start(service, wanted.port, &wanted.command)?;
    let ready = wait(step, started, wanted);
    if ready.is_err() {
        supervisor.stop(service)?;
    }
    ready.map(|()| true)
}

fn wait(step: &Step<'_>, mut started: Started, wanted: &Wanted<'_>) -> Result<()> {
    let begin = Instant::now();
    loop {
        step.check()?;
        if let Some(status) = started.exit()? {
            return Err(ended_while_starting(wanted.service, status, &started.log).into());
        }
        match (wanted.probe)() {
            Ok(()) => return Ok(()),
            Err(reason) if begin.elapsed() >= wanted.patience => {
                let reason = format!(
                    "{} was not ready within {} s: {reason}",
                    wanted.service,
                    wanted.patience.as_secs()
                );
                return Err(LoggedFailure::new(reason, &started.log).into());
            }
            Err(reason) => step.doing(reason),
        }
        thread::sleep(POLL);
    }
}

/// Whether something accepts connections at `host:port`.
///
/// # Errors
/// Why not.
pub fn accepts_connections(address: &str) -> Result<(), String> {
    connect(address).map(drop)
}

/// Whether a Kafka broker answers at `host:port`: asks it for the versions it speaks.
///
/// # Errors
/// Why not.
pub fn speaks_kafka(address: &str) -> Result<(), String> {
    const CORRELATION: [u8; 4] = *b"prob";
    // Length, request 18 (ApiVersions) in version 0, correlation id, no client id.
    let mut question = vec![0, 0, 0, 10, 0, 18, 0, 0];
    question.extend(CORRELATION);
    question.extend([0xff, 0xff]);

    let mut connection = connect(address)?;
    let mut answer = [0_u8; 10];
    connection
        .write_all(&question)
        .and_then(|()| connection.read_exact(&mut answer))
        .map_err(|error| format!("{address} does not answer as a Kafka broker: {error}"))?;
    // Length, the same correlation id, error code 0.
    if answer[4..8] == CORRELATION && answer[8..10] == [0, 0] {
        Ok(())
    } else {
        Err(format!("{address} does not answer as a Kafka broker"))
    }
}

/// Whether a TLS server answers at `host:port`, if only that it does not like the question.
///
/// # Errors
/// Why not.
pub fn speaks_tls(address: &str) -> Result<(), String> {
    /// A `ClientHello` without a cipher suite (RFC 8446, 4.1.2), in its record.
    const QUESTION: [u8; 48] = {
        let mut question = [0; 48];
        // A handshake in version 1.2: 43 bytes, of which the ClientHello itself has 39.
        (question[0], question[1], question[2], question[4]) = (22, 3, 3, 43);
        (question[5], question[8]) = (1, 39);
        (question[9], question[10]) = (3, 3);
        // After 32 random bytes: no session, no suites, one way to compress (none), no extensions.
        question[46] = 1;
        question
    };
    const ALERT: u8 = 21;
    const HANDSHAKE: u8 = 22;

    let mut connection = connect(address)?;
    let mut answer = [0_u8; 1];
    connection
        .write_all(&QUESTION)
        .and_then(|()| connection.read_exact(&mut answer))
        .map_err(|error| format!("{address} does not answer: {error}"))?;
    if matches!(answer, [ALERT | HANDSHAKE]) {
        Ok(())
    } else {
        Err(format!("{address} does not speak TLS"))
    }
}

/// Whether a PostgreSQL server at `host:port` speaks TLS and takes connections: while it replays its
/// journal, it refuses them all, for a reason of its own.
///
/// # Errors
/// Why not.
pub fn serves_postgres(address: &str) -> Result<(), String> {
    /// `SSLRequest`: its length, and a number.
    const TLS: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];
    /// `StartupMessage` in version 3.0 (user `x`): its length, the version, a name and a value.
    const STARTUP: [u8; 16] = *b"\0\0\0\x10\0\x03\0\0user\0x\0\0";
    /// `cannot_connect_now`.
    const NOT_YET: &[u8] = b"C57P03\0";

    let failed = |error: std::io::Error| format!("{address} does not answer: {error}");
    let mut connection = connect(address)?;
    let mut answer = [0_u8; 1];
    connection
        .write_all(&TLS)
        .and_then(|()| connection.read_exact(&mut answer))
        .map_err(failed)?;
    if answer != *b"S" {
        return Err(format!("{address} does not speak TLS"));
    }
    let mut connection = connect(address)?;
    let mut refusal = Vec::new();
    connection
        .write_all(&STARTUP)
        .and_then(|()| connection.read_to_end(&mut refusal))
        .map_err(failed)?;
    if refusal.windows(NOT_YET.len()).any(|part| part == NOT_YET) {
        return Err("it does not accept connections yet".to_owned());
    }
    Ok(())
}

/// Whether an HTTP server answers at the URL, whatever it answers.
///
/// # Errors
/// Why not.
pub fn answers_http(url: &str) -> Result<(), String> {
    match agent().get(url).call() {
        Ok(_) | Err(ureq::Error::StatusCode(_)) => Ok(()),
        Err(error) => Err(format!("{url} does not answer: {error}")),
    }
}

/// The JSON document at the URL.
///
/// # Errors
/// Why there is none.
pub fn get_json(url: &str) -> Result<serde_json::Value, String> {
    agent()
        .get(url)
        .call()
        .and_then(|mut response| response.body_mut().read_json())
        .map_err(|error| format!("{url} does not answer: {error}"))
}

/// The JSON document at the URL, whatever status it comes with.
///
/// # Errors
/// Why there is none.
pub fn get_json_of_any_status(url: &str) -> Result<serde_json::Value, String> {
    agent()
        .get(url)
        .config()
        .http_status_as_error(false)
        .timeout_global(Some(TIME_PER_QUESTION * 3))
        .build()
        .call()
        .and_then(|mut response| response.body_mut().read_json())
        .map_err(|error| format!("{url} does not answer: {error}"))
}

/// Sends a JSON document to the URL.
///
/// # Errors
/// What is wrong with it.
pub fn put_json(url: &str, document: &serde_json::Value) -> Result<(), String> {
    match agent().put(url).send_json(document) {
        Ok(_) => Ok(()),
        Err(error) => Err(format!("{url} does not take it: {error}")),
    }
}

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder()
        .timeout_global(Some(TIME_PER_QUESTION))
        .proxy(None)
        .build()
        .into()
}

fn connect(address: &str) -> Result<TcpStream, String> {
    let not_reached = |error: std::io::Error| format!("nothing answers at {address}: {error}");
    let mut last = format!("{address} is not an address");
    for candidate in address.to_socket_addrs().map_err(not_reached)? {
        match TcpStream::connect_timeout(&candidate, TIME_PER_QUESTION) {
            Ok(connection) => {
                connection
                    .set_read_timeout(Some(TIME_PER_QUESTION))
                    .map_err(not_reached)?;
                connection
                    .set_write_timeout(Some(TIME_PER_QUESTION))
                    .map_err(not_reached)?;
                return Ok(connection);
            }
            Err(error) => last = not_reached(error),
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_closed_port_is_not_ready() {
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        assert!(accepts_connections(&port.to_string()).is_err());
    }

    #[test]
    fn a_server_that_is_no_broker_is_not_taken_for_one() {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = server.local_addr().unwrap().to_string();
        let other = thread::spawn(move || {
            let (mut connection, _) = server.accept().unwrap();
            let mut question = [0_u8; 14];
            connection.read_exact(&mut question).unwrap();
            connection
                .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                .unwrap();
        });
        assert!(speaks_kafka(&address).is_err());
        other.join().unwrap();
    }

    #[test]
    fn a_server_without_tls_is_not_taken_for_one_with_it() {
        for (answer, speaks) in [
            (&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], false),
            // handshake_failure, fatal.
            (&[21, 3, 3, 0, 2, 2, 40], true),
        ] {
            let server = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = server.local_addr().unwrap().to_string();
            let other = thread::spawn(move || {
                let (mut connection, _) = server.accept().unwrap();
                let mut question = [0_u8; 48];
                connection.read_exact(&mut question).unwrap();
                connection.write_all(answer).unwrap();
            });
            assert_eq!(speaks_tls(&address).is_ok(), speaks);
            other.join().unwrap();
        }
    }

    #[test]
    fn a_database_is_ready_when_it_refuses_for_another_reason() {
        for (tls, refusal, ready) in [
            (b'S', &b"E\0\0\0\x17SFATAL\0C28000\0M\0\0"[..], true),
            (b'S', b"E\0\0\0\x17SFATAL\0C57P03\0M\0\0", false),
            (b'N', b"", false),
        ] {
            let server = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = server.local_addr().unwrap().to_string();
            let other = thread::spawn(move || {
                let (mut connection, _) = server.accept().unwrap();
                connection.read_exact(&mut [0_u8; 8]).unwrap();
                connection.write_all(&[tls]).unwrap();
                if tls == b'S' {
                    let (mut connection, _) = server.accept().unwrap();
                    connection.read_exact(&mut [0_u8; 16]).unwrap();
                    connection.write_all(refusal).unwrap();
                }
            });
            assert_eq!(serves_postgres(&address).is_ok(), ready);
            other.join().unwrap();
        }
    }

    #[test]
    fn an_http_server_is_ready_whatever_it_answers() {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", server.local_addr().unwrap());
        let other = thread::spawn(move || {
            let (mut connection, _) = server.accept().unwrap();
            let _ = connection.read(&mut [0_u8; 1024]).unwrap();
            connection
                .write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")
                .unwrap();
        });
        assert_eq!(answers_http(&url), Ok(()));
        other.join().unwrap();
    }
}
