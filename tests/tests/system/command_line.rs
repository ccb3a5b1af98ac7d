//! The commands of operators and developers, against a running stack.

use std::process::{Command, Output};

use identity::Role;
use serde_json::{Value, json};
use system_tests::{Clinic, eventually};
use uuid::Uuid;

/// The orchestrator, as `make` calls it.
async fn local_stack(arguments: &[&str]) -> Output {
    let program = std::env::var_os("LOCAL_STACK").expect("run with `local-stack exec`");
    let mut command = Command::new(program);
    command.args(arguments);
    let output = tokio::task::spawn_blocking(move || command.output());
    output.await.unwrap().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[tokio::test]
async fn verify_audit_and_redrive_print_json_for_programs_and_a_sentence_for_people() {
    let _clinic = Clinic::open();
    let verified = local_stack(&["verify-audit"]).await;
    assert!(verified.status.success(), "{verified:?}");
    let answer: Value = serde_json::from_slice(&verified.stdout).unwrap();
    assert_eq!(answer["intact"], true);
    assert!(answer["ends"].is_array(), "{answer}");
    let sentence = text(&verified.stderr);
    assert!(sentence.contains("is intact"), "{sentence}");
    assert!(!sentence.contains('{'), "{sentence}");

    let redriven = local_stack(&["redrive"]).await;
    let answer: Value = serde_json::from_slice(&redriven.stdout).unwrap();
    assert!(answer["redriven"].is_u64(), "{answer}");
    assert!(!redriven.stderr.is_empty());
}

#[tokio::test]
async fn mail_is_shown_by_address() {
    let clinic = Clinic::open();
    let email = format!("{}@clinic.example", Uuid::new_v4());
    let account = json!({ "email": email, "role": Role::Clinician });
    let administrator = clinic.administrator().await;
    let invited = administrator.post("/api/accounts").json(&account);
    invited.answers(201).await;

    let nobody = local_stack(&["mail", "nobody@clinic.example"]).await;
    assert!(
        nobody.status.success() && nobody.stdout.is_empty(),
        "{nobody:?}"
    );
    assert!(text(&nobody.stderr).contains("no mail to nobody@clinic.example"));

    let upper_case = email.to_uppercase();
    let mail = eventually("the invitation", async || {
        clinic
            .aws()
            .invoke("send-account-messages", &json!({}))
            .await;
        let read = local_stack(&["mail", &upper_case]).await;
        (!read.stdout.is_empty()).then(|| text(&read.stdout).to_owned())
    })
    .await;
    let token = |line: &str| line.len() == 43 && !line.contains(' ');
    assert!(mail.lines().any(token), "{mail}");
    let all = local_stack(&["mail"]).await;
    assert!(text(&all.stdout).contains(&email));
}

#[tokio::test]
async fn a_log_is_shown_by_its_name_in_the_list() {
    let clinic = Clinic::open();
    clinic.stranger().get("/health").answers(200).await;
    let list = local_stack(&["logs"]).await;
    let names: Vec<_> = text(&list.stdout)
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    for name in ["kafka", "health"] {
        assert!(names.contains(&name), "{name}: {names:?}");
        let log = local_stack(&["logs", name]).await;
        assert!(log.status.success(), "{log:?}");
    }
}

#[tokio::test]
async fn status_shows_the_urls_and_the_health_of_the_stack() {
    let clinic = Clinic::open();
    let status = local_stack(&["status"]).await;
    let status = text(&status.stdout);
    assert!(status.contains(&clinic.stack().docs_url), "{status}");
    assert!(status.contains("everything works"), "{status}");
}
