//! The service as the process that is deployed.

use std::process::Stdio;

use billing_client::{BilledTo, BillingClient, BillingError};
use contracts::billing::v1::billing_service_server::SERVICE_NAME;
use http_body_util::Full;
use serde_json::Value;
use sqlx::PgPool;
use store::testing::url_of;
use telemetry::TraceContext;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{Child, ChildStdout, Command},
};
use tonic::transport::{Channel, Endpoint};
use tower::ServiceExt as _;
use uuid::Uuid;

use crate::running::{TOKEN, within};

struct Process {
    child: Child,
    log: Lines<BufReader<ChildStdout>>,
    url: String,
}

impl Process {
    async fn start(database_url: &str) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_billing-service"))
            .env("BILLING_LISTEN", "127.0.0.1:0")
            .env("BILLING_TOKEN", TOKEN)
            .env("DATABASE_URL", database_url)
            .env("LOG_LEVEL", "debug")
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stdout.take().unwrap()).lines();
        let listening = line(&mut log, "listening").await;
        Self {
            child,
            url: format!("http://{}", listening["address"].as_str().unwrap()),
            log,
        }
    }

    fn client(&self) -> BillingClient {
        BillingClient::new(&self.url, TOKEN).unwrap()
    }

    /// Asks the process to stop. Returns whether it exited successfully.
    async fn terminate(&mut self) -> bool {
        let id = self.child.id().unwrap().to_string();
        let kill = Command::new("kill").args(["-TERM", &id]).status();
        assert!(kill.await.unwrap().success());
        within(self.child.wait()).await.unwrap().success()
    }
}

/// The next line of the log with this message.
async fn line(log: &mut Lines<BufReader<ChildStdout>>, message: &str) -> Value {
    within(async {
        loop {
            let line = log
                .next_line()
                .await
                .unwrap()
                .expect("the log should not end");
            for private in ["Zoë", "zoe@clinic.example", TOKEN] {
                assert!(!line.contains(private), "{line}");
            }
            let line: Value = serde_json::from_str(&line).expect("the log should be JSON");
            if line["message"] == message {
                return line;
            }
        }
    })
    .await
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_call_is_logged_in_the_trace_of_its_caller(database: PgPool) {
    let mut process = Process::start(&url_of(&database)).await;
    let billing = process.client();
    let trace = TraceContext::start();
    let patient = Uuid::now_v7();

    trace
        .scope(billing.create_account(patient, &BilledTo::of("Zoë", "zoe@clinic.example")))
        .await
        .unwrap();

    let opened = line(&mut process.log, "account opened").await;
    assert_eq!(opened["span"]["traceId"], trace.trace_id());
    assert_eq!(opened["patientId"], patient.to_string());
    let call = line(&mut process.log, "call").await;
    assert_eq!(call["traceId"], trace.trace_id());
    assert_eq!(call["Method"], "CreateBillingAccount");
    assert_eq!(call["status"], "OK");
    assert_eq!(call["Requests"], 1.0);
    assert!(call["Duration"].as_f64().unwrap() > 0.0);

    assert!(process.terminate().await);
    line(&mut process.log, "stopped").await;
}

/// Whether a process on this machine says that the service at this address runs.
async fn is_said_to_run(listen: &str) -> bool {
    let mut ask = Command::new(env!("CARGO_BIN_EXE_billing-service"));
    let ask = ask.arg("health").env("BILLING_LISTEN", listen).output();
    within(ask).await.unwrap().status.success()
}

#[tokio::test]
async fn a_container_can_ask_whether_its_service_runs_even_without_a_database() {
    let mut process = Process::start("postgres://nobody@127.0.0.1:1/nothing").await;
    let address = process.url.trim_start_matches("http://").to_owned();
    assert!(is_said_to_run(&address).await);
    let (_, port) = address.rsplit_once(':').unwrap();
    assert!(is_said_to_run(&format!("0.0.0.0:{port}")).await);
    assert!(!is_said_to_run("nowhere").await);

    assert!(process.terminate().await);
    assert!(!is_said_to_run(&address).await);
}

#[tokio::test]
async fn an_unknown_command_starts_nothing() {
    let mut process = Command::new(env!("CARGO_BIN_EXE_billing-service"));
    let output = within(process.arg("halth").output()).await.unwrap();
    assert!(!output.status.success());
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("usage: billing-service [health]"), "{told}");
}

/// Calls `CreateBillingAccount` with this body. Returns the status that it ends with.
async fn call_with(channel: &Channel, body: &[u8]) -> Option<String> {
    let request = http::Request::post(format!("/{SERVICE_NAME}/CreateBillingAccount"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("authorization", format!("Bearer {TOKEN}"))
        .body(tonic::body::Body::new(Full::from(body.to_vec())))
        .unwrap();
    let answer = within(channel.clone().oneshot(request)).await.unwrap();
    let status = answer.headers().get("grpc-status")?;
    Some(status.to_str().unwrap().to_owned())
}

#[tokio::test]
async fn an_unreadable_message_is_its_callers_fault() {
    let mut process = Process::start("postgres://nobody@127.0.0.1:1/nothing").await;
    let channel = Endpoint::from_shared(process.url.clone()).unwrap();
    let channel = channel.connect_lazy();
    for (what, body) in [
        (
            "invalid UTF-8 in a string",
            &b"\0\0\0\0\x04\x0a\x02\xff\xfe"[..],
        ),
        ("a field of another type", b"\0\0\0\0\x02\x08\x01"),
        ("a field that ends too early", b"\0\0\0\0\x02\x0a\x7f"),
        ("not protobuf", b"\0\0\0\0\x04{\"\"}"),
        ("an unknown compression", b"\x07\0\0\0\0"),
        ("compressed without saying how", b"\x01\0\0\0\0"),
        ("a message that ends too early", b"\0\0\0\0\x09\x0a"),
        ("no message", b""),
    ] {
        let status = call_with(&channel, body).await;
        assert!(status.is_some_and(|status| status != "0"), "{what}");
        let call = line(&mut process.log, "call").await;
        assert_eq!(call["Method"], "CreateBillingAccount");
        assert_eq!(call["ServerErrors"], 0.0, "{what}: {call}");
        assert_eq!(call["ClientErrors"], 1.0, "{what}: {call}");
        assert_eq!(call["level"], "INFO", "{what}: {call}");
    }

    // A failure after the message was read is ours.
    let (billing, patient) = (process.client(), Uuid::now_v7());
    billing
        .create_account(patient, &BilledTo::of("Zoë", "zoe@clinic.example"))
        .await
        .unwrap_err();
    billing.close_account(patient).await.unwrap_err();
    billing.get_account(patient).await.unwrap_err();
    for method in ["Create", "Close", "Get"] {
        // A client may have retried.
        loop {
            let call = line(&mut process.log, "call").await;
            assert_eq!(call["ServerErrors"], 1.0, "{call}");
            if call["Method"] == format!("{method}BillingAccount") {
                break;
            }
        }
    }
}

#[tokio::test]
async fn the_service_starts_without_its_database_and_stops_when_asked() {
    let mut process = Process::start("postgres://nobody@127.0.0.1:1/nothing").await;
    let outcome = process.client().get_account(Uuid::now_v7()).await;
    assert!(
        matches!(outcome, Err(BillingError::Unavailable(_))),
        "{outcome:?}"
    );
    assert!(process.terminate().await);
}

#[tokio::test]
async fn a_missing_setting_is_named() {
    let output = Command::new(env!("CARGO_BIN_EXE_billing-service"))
        .env_remove("BILLING_TOKEN")
        .env("DATABASE_URL", "postgres://nobody@127.0.0.1:1/nothing")
        .output();
    let output = within(output).await.unwrap();
    assert!(!output.status.success());
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(message.contains("BILLING_TOKEN"), "{message}");
}
