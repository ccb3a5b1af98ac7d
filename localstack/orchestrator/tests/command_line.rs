//! The program as a person types it.

#![allow(clippy::unwrap_used, reason = "a failed step of a test fails the test")]

use std::path::Path;
use std::process::{Command, Output};

fn local_stack(directory: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_local-stack"))
        .args(arguments)
        .env("STACK_DIR", directory)
        .env_remove("STACK_FILE")
        .output()
        .unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn the_help_text_names_every_setting() {
    let help = Command::new(env!("CARGO_BIN_EXE_local-stack"))
        .arg("--help")
        .output()
        .unwrap();
    for setting in local_stack::settings::SETTINGS {
        assert!(
            text(&help).contains(setting.name),
            "{} is missing",
            setting.name
        );
    }
}

#[test]
fn stopping_a_stack_that_is_not_up_is_no_failure() {
    let directory = tempfile::tempdir().unwrap();
    let output = local_stack(directory.path(), &["down"]);
    assert!(output.status.success());
    assert!(text(&output).contains("nothing was running"));
}

#[test]
fn the_state_of_a_stack_that_is_not_up_is_told_and_shows_in_the_exit_code() {
    let directory = tempfile::tempdir().unwrap();
    let output = local_stack(directory.path(), &["status"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(text(&output).contains("not running"));
    assert!(text(&output).contains("make up"), "{}", text(&output));
}

#[test]
fn cleaning_leaves_alone_what_is_not_the_stacks_own() {
    let directory = tempfile::tempdir().unwrap();
    let other = directory.path().join("notes.txt");
    std::fs::write(&other, "mine").unwrap();
    std::fs::create_dir(directory.path().join("kafka")).unwrap();
    assert!(local_stack(directory.path(), &["clean"]).status.success());
    assert!(other.exists());
    assert!(!directory.path().join("kafka").exists());
}

#[test]
fn a_command_needs_a_stack_that_is_up() {
    let directory = tempfile::tempdir().unwrap();
    let output = local_stack(directory.path(), &["exec", "--", "true"]);
    assert!(!output.status.success());
    assert!(
        text(&output).contains("the stack is not up"),
        "{}",
        text(&output)
    );
}

#[test]
fn a_service_is_started_again_only_in_a_stack_that_is_up() {
    let directory = tempfile::tempdir().unwrap();
    let output = local_stack(directory.path(), &["restart", "billing"]);
    assert!(!output.status.success());
    assert!(
        text(&output).contains("the stack is not up"),
        "{}",
        text(&output)
    );
    let output = local_stack(directory.path(), &["restart", "bill"]);
    assert!(!output.status.success());
    assert!(text(&output).contains("postgres"), "{}", text(&output));
}

#[test]
fn a_setting_that_makes_no_sense_is_refused_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_local-stack"))
        .arg("status")
        .env("STACK_DIR", directory.path())
        .env("STACK_KAFKA_PORT", "many")
        .output()
        .unwrap();
    assert!(!output.status.success());
    assert!(
        text(&output).contains("STACK_KAFKA_PORT"),
        "{}",
        text(&output)
    );
}
