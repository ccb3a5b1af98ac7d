//! Background processes are started apart, found again, and only they are stopped.

#![allow(clippy::unwrap_used, reason = "a failed step of a test fails the test")]

use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};
use std::{fs, thread};

use local_stack::cancellation::Cancellation;
use local_stack::identity::Identity;
use local_stack::processes::{ServiceCommand, Supervisor};
use local_stack::progress::Progress;
use local_stack::readiness::{self, Wanted};
use local_stack::service::Service;
use local_stack::settings::Settings;

struct Stack {
    directory: tempfile::TempDir,
    supervisor: Supervisor,
}

impl Stack {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let supervisor = supervisor(directory.path());
        Self {
            directory,
            supervisor,
        }
    }

    /// What a later run of the program would use.
    fn another_run(&self) -> Supervisor {
        supervisor(self.directory.path())
    }

    fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("logs/kafka.log")).unwrap_or_default()
    }

    fn ensure(&self, script: &str, probe: readiness::Probe<'_>) -> anyhow::Result<bool> {
        Progress::new(Cancellation::default()).step("test", |step| {
            readiness::ensure(
                &self.supervisor,
                step,
                &Wanted {
                    service: Service::Kafka,
                    port: 9092,
                    command: shell(script),
                    probe,
                    patience: Duration::from_secs(20),
                },
            )
        })
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        let _ = self.supervisor.stop(Service::Kafka);
    }
}

fn supervisor(directory: &Path) -> Supervisor {
    let mut settings = Settings::from_environment().unwrap();
    settings.directory = directory.to_path_buf();
    Supervisor::new(&settings, PathBuf::from(env!("CARGO_BIN_EXE_local-stack")))
}

fn shell(script: &str) -> ServiceCommand {
    ServiceCommand::new("sh").args(["-c", script])
}

fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

fn stranger() -> Child {
    Command::new("sleep").arg("600").spawn().unwrap()
}

#[test]
fn a_later_run_finds_the_process_and_stops_it_with_its_children() {
    let stack = Stack::new();
    let command = shell("sleep 600 & echo child=$!; wait");
    let _started = stack
        .supervisor
        .start(Service::Kafka, 9092, &command)
        .unwrap();
    until("the child runs", || stack.log().contains("child="));
    let child = stack
        .log()
        .trim()
        .rsplit('=')
        .next()
        .unwrap()
        .parse()
        .unwrap();

    let later = stack.another_run();
    let record = later.running(Service::Kafka).unwrap().unwrap();
    assert_eq!(record.port, 9092);
    assert!(later.stop(Service::Kafka).unwrap());

    assert!(!record.identity.is_alive());
    until("the child is gone", || Identity::of(child).is_none());
    assert!(later.running(Service::Kafka).unwrap().is_none());
    assert!(
        !later.stop(Service::Kafka).unwrap(),
        "there is nothing left to stop"
    );
}

#[test]
fn a_process_that_got_the_number_of_ours_is_left_alone() {
    let stack = Stack::new();
    let mut stranger = stranger();
    let record = stack.directory.path().join("processes/kafka.json");
    fs::create_dir_all(record.parent().unwrap()).unwrap();
    let text = format!(
        r#"{{"pid":{},"began":"another time","port":9092,"since":0,"fingerprint":""}}"#,
        stranger.id()
    );
    fs::write(&record, text).unwrap();

    assert!(!stack.supervisor.stop(Service::Kafka).unwrap());

    assert!(
        stranger.try_wait().unwrap().is_none(),
        "the stranger was stopped"
    );
    stranger.kill().unwrap();
    stranger.wait().unwrap();
}

#[test]
fn a_service_sees_nothing_of_the_users_environment() {
    let stack = Stack::new();
    let command = shell("env; echo end; sleep 600").env("WANTED", "yes");
    let _started = stack
        .supervisor
        .start(Service::Kafka, 9092, &command)
        .unwrap();
    until("the environment is shown", || stack.log().contains("end\n"));
    assert!(stack.log().contains("WANTED=yes"));
    assert!(!stack.log().contains("CARGO"), "{}", stack.log());
}

#[test]
fn a_service_that_runs_as_wanted_is_left_running() {
    let stack = Stack::new();
    assert!(stack.ensure("sleep 600", &|| Ok(())).unwrap());
    let first = stack.supervisor.running(Service::Kafka).unwrap().unwrap();
    assert!(!stack.ensure("sleep 600", &|| Ok(())).unwrap());
    let second = stack.supervisor.running(Service::Kafka).unwrap().unwrap();
    assert_eq!(second.identity, first.identity);
}

#[test]
fn a_service_that_should_run_differently_is_started_again() {
    let stack = Stack::new();
    stack.ensure("sleep 600", &|| Ok(())).unwrap();
    let first = stack.supervisor.running(Service::Kafka).unwrap().unwrap();
    assert!(stack.ensure("sleep 601", &|| Ok(())).unwrap());
    assert!(!first.identity.is_alive());
    assert!(stack.supervisor.running(Service::Kafka).unwrap().is_some());
}

#[test]
fn a_service_that_ends_while_starting_is_reported_with_its_last_words() {
    let stack = Stack::new();
    let error = stack
        .ensure("echo no space left; exit 7", &|| Err("not yet".to_owned()))
        .unwrap_err()
        .to_string();
    for part in [
        "Kafka ended while starting",
        "7",
        "no space left",
        "kafka.log",
    ] {
        assert!(error.contains(part), "{error}");
    }
    assert!(stack.supervisor.running(Service::Kafka).unwrap().is_none());
}

#[test]
fn only_what_this_run_has_started_is_stopped_after_a_failure() {
    let stack = Stack::new();
    let _started = stack
        .supervisor
        .start(Service::Kafka, 9092, &shell("sleep 600"))
        .unwrap();
    let later = stack.another_run();
    assert!(later.stop_started().unwrap().is_empty());
    assert!(stack.supervisor.running(Service::Kafka).unwrap().is_some());
    assert_eq!(stack.supervisor.stop_started().unwrap(), [Service::Kafka]);
    assert!(stack.supervisor.running(Service::Kafka).unwrap().is_none());
}
