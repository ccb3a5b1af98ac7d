//! Running single functions against a running stack, as developers do.

use std::{
    env, fs,
    net::{Ipv6Addr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};
use std::os::unix::process::CommandExt as _;
use system_tests::{Clinic, within};

/// Includes compiling whatever has changed.
const PATIENCE: Duration = Duration::from_mins(5);

/// A first build of a function, on a machine that does other things, too.
const COMPILED_WITHIN: Duration = Duration::from_mins(30);

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// `local-stack exec cargo lambda`
fn cargo_lambda() -> Command {
    let local_stack = env::var_os("LOCAL_STACK").expect("run the tests with `local-stack exec`");
    let mut command = Command::new(local_stack);
    command
        .args(["exec", "cargo", "lambda"])
        .current_dir(repository())
        // Cargo sets these for this test; they are not meant for the functions.
        .env_remove("CARGO_MANIFEST_DIR")
        .env("SQLX_OFFLINE", "true");
    command
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap().port()
}

/// `cargo lambda watch`, until it is dropped.
struct Watch {
    process: Child,
    port: u16,
    log: PathBuf,
}

impl Watch {
    /// For the functions of the project with this manifest.
    async fn start(manifest: &Path, log: PathBuf) -> Self {
        let port = free_port();
        let output = fs::File::create(&log).unwrap();
        let process = cargo_lambda()
            .args(["watch", "--ignore-changes", "--invoke-address", "::1"])
            .args(["--invoke-port", &port.to_string()])
            .arg("--manifest-path")
            .arg(manifest)
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .process_group(0)
            .spawn()
            .unwrap();
        let watch = Self { process, port, log };
        within(PATIENCE, "cargo lambda watch", async || {
            std::net::TcpStream::connect((Ipv6Addr::LOCALHOST, port)).ok()
        })
        .await;
        watch
    }

    /// `cargo lambda invoke <function> --data-file <file>`. It waits for ever for a function that does not
    /// compile: then this is what the compiler says.
    async fn invoke(&self, function: &str, file: &Path) -> Result<Output, String> {
        let mut command = cargo_lambda();
        command
            .args(["invoke", function, "--invoke-port", &self.port.to_string()])
            .arg("--data-file")
            .arg(file)
            .stdin(Stdio::null());
        let mut command = tokio::process::Command::from(command);
        tokio::select! {
            output = command.kill_on_drop(true).output() => Ok(output.unwrap()),
            said = within(COMPILED_WITHIN, "cargo lambda invoke", async || self.refused_by_compiler()) => Err(said),
        }
    }

    /// What the compiler says, if it has refused a function.
    fn refused_by_compiler(&self) -> Option<String> {
        let log = fs::read_to_string(&self.log).ok()?;
        log.contains("could not compile").then_some(log)
    }

    async fn answer(&self, function: &str, file: &Path) -> Value {
        let output = self.invoke(function, file).await;
        let output = output.unwrap_or_else(|said| panic!("{function} does not compile:\n{said}"));
        let (stdout, stderr) = (
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        assert!(
            output.status.success(),
            "{function}: {stdout}{stderr}\n{log}"
        );
        serde_json::from_str(&stdout)
            .unwrap_or_else(|error| panic!("{function}: {error}: {stdout}\n{log}"))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // Along with the functions that it runs.
        if let Some(pid) = i32::try_from(self.process.id())
            .ok()
            .and_then(Pid::from_raw)
        {
            let _ = kill_process_group(pid, Signal::TERM);
            let _ = kill_process_group(pid, Signal::KILL);
        }
        let _ = self.process.wait();
    }
}

fn sample(function: &str) -> PathBuf {
    repository().join(format!("events/{function}.json"))
}

#[tokio::test]
async fn a_route_the_authorizer_and_a_consumer_can_be_run_on_their_own() {
    let clinic = Clinic::open();
    let visitor = clinic.administrator().await;
    let patient = visitor.register_somebody().await;
    let log = clinic.stack().logs().join("cargo-lambda-watch.log");
    let watch = Watch::start(Path::new("Cargo.toml"), log).await;
    let folder = tempfile::tempdir().unwrap();
    let changed = |function: &str, change: &dyn Fn(&mut Value)| {
        let text = fs::read_to_string(sample(function)).unwrap();
        let mut event = serde_json::from_str(&text).unwrap();
        change(&mut event);
        let file = folder.path().join(format!("{function}.json"));
        fs::write(&file, event.to_string()).unwrap();
        file
    };

    let answer = watch
        .answer("list-patients", &sample("list-patients"))
        .await;
    assert_eq!(answer["statusCode"], 200, "{answer}");
    let body: Value = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap();
    assert!(body["patients"].is_array(), "{body}");

    let event = changed("get-patient", &|event| {
        event["path"] = json!(patient.path());
        event["pathParameters"]["id"] = json!(patient.id);
    });
    let answer = watch.answer("get-patient", &event).await;
    assert_eq!(answer["statusCode"], 200, "{answer}");
    let body: Value = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap();
    assert_eq!(body["email"], patient.email);

    // The token of the sample has expired.
    let refused = watch.invoke("authorizer", &sample("authorizer")).await;
    let refused = refused.unwrap();
    let said = [refused.stdout, refused.stderr].concat();
    assert!(String::from_utf8_lossy(&said).contains("Unauthorized"));
    let event = changed("authorizer", &|event| {
        event["authorizationToken"] = json!(format!("Bearer {}", visitor.token()));
    });
    let answer = watch.answer("authorizer", &event).await;
    assert_eq!(answer["context"]["role"], "ADMIN", "{answer}");
    let statement = &answer["policyDocument"]["Statement"][0];
    assert_eq!(statement["Effect"], "Allow", "{answer}");

    let events = sample("count-patient-events");
    let answer = watch.answer("count-patient-events", &events).await;
    assert_eq!(answer, json!({ "batchItemFailures": [] }));
    let path = "/api/analytics/patients?from=2026-01-01&to=2026-01-31";
    let totals = visitor.get(path).answers(200).await.json()["totals"].clone();
    for counter in ["created", "updated", "deleted"] {
        assert!(totals[counter].as_u64() >= Some(1), "{totals}");
    }
}

/// Of a test that would wait for it otherwise.
#[tokio::test]
async fn a_function_that_does_not_compile_is_named_with_the_compilers_words() {
    let project = tempfile::tempdir().unwrap();
    let manifest = project.path().join("Cargo.toml");
    fs::write(
        &manifest,
        "[package]\nname = \"broken\"\nedition = \"2024\"\n",
    )
    .unwrap();
    fs::create_dir(project.path().join("src")).unwrap();
    fs::write(project.path().join("src/main.rs"), "fn main() { start() }").unwrap();
    let log = project.path().join("watch.log");
    let watch = Watch::start(&manifest, log).await;
    let said = watch.invoke("broken", &sample("health")).await.unwrap_err();
    assert!(said.contains("cannot find function `start`"), "{said}");
}
