//! What an operator has a function do: its answer goes to the standard output as JSON, for
//! programs, and what it means to the standard error, for people.

use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use console::{Term, style};
use local_stack::stack_file::StackFile;
use serde_json::{Value, json};

/// The functions may take fifteen minutes.
const PATIENCE: Duration = Duration::from_mins(16);

/// Something that an operator does from time to time.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Operation {
    VerifyAudit,
    RotateKey,
    Redrive,
}

impl Operation {
    const fn program(self) -> &'static str {
        match self {
            Self::VerifyAudit => "verify-audit-trail",
            Self::RotateKey => "rotate-signing-key",
            Self::Redrive => "redrive-dead-letters",
        }
    }

    /// What the function is told.
    fn request(self) -> Value {
        match self {
            // All records, also those that were verified before.
            Self::VerifyAudit => json!({ "full": true }),
            Self::RotateKey | Self::Redrive => json!({}),
        }
    }

    /// What the answer means, and whether all is well.
    fn explain(self, answer: &Value) -> (String, bool) {
        let count = |name: &str| answer[name].as_u64().unwrap_or_default();
        match self {
            Self::VerifyAudit if answer["intact"] == true => {
                let records = count("records");
                (
                    format!(
                        "The audit trail is intact: none of its {records} records is missing or was changed."
                    ),
                    true,
                )
            }
            Self::VerifyAudit if answer["unfinished"] == true && answer["faults"] == json!([]) => (
                "Nothing is wrong so far. The verification goes on by itself: see `make logs NAME=verify-audit-trail`."
                    .to_owned(),
                false,
            ),
            Self::VerifyAudit => {
                let faults = answer["faults"].as_array().map_or(0, Vec::len);
                (
                    format!(
                        "THE AUDIT TRAIL IS BROKEN in {faults} places: see `faults` in the answer."
                    ),
                    false,
                )
            }
            Self::RotateKey => {
                let id = answer["id"].as_str().unwrap_or("a new key");
                let until = answer["succeeds"].as_str().map_or(String::new(), |old| {
                    format!(
                        " Tokens of {old} are accepted until {}.",
                        time(&answer["retiresAt"])
                    )
                });
                (
                    format!("Access tokens are signed with {id} now.{until}"),
                    true,
                )
            }
            Self::Redrive => match (count("redriven"), count("left")) {
                (0, 0) => ("There are no dead letters.".to_owned(), true),
                (records, 0) => (format!("{records} records are on Kafka again."), true),
                (records, left) => (
                    format!(
                        "{records} records are on Kafka again; {left} letters stay in the queue, and `make logs NAME=redrive-dead-letters` says why."
                    ),
                    false,
                ),
            },
        }
    }
}

/// `22:41:05 UTC`: what is close by needs no day.
fn time(seconds: &Value) -> String {
    let of_day = seconds.as_u64().unwrap_or_default() % 86_400;
    let (hours, minutes) = (of_day / 3600, of_day / 60 % 60);
    format!("{hours:02}:{minutes:02}:{:02} UTC", of_day % 60)
}

/// Returns whether all is well.
pub(crate) fn perform(stack: &StackFile, operation: Operation) -> Result<bool> {
    let answer = invoke(stack, operation)?;
    let (sentence, is_well) = operation.explain(&answer);
    Term::stdout().write_line(&serde_json::to_string_pretty(&answer)?)?;
    let sentence = style(sentence).bold().for_stderr();
    let sentence = if is_well { sentence } else { sentence.red() };
    Term::stderr().write_line(&sentence.to_string())?;
    Ok(is_well)
}

/// Calls the function.
fn invoke(stack: &StackFile, operation: Operation) -> Result<Value> {
    let function = format!("{}-{}", stack.stack_name, operation.program());
    let url = format!(
        "{}/2015-03-31/functions/{function}/invocations",
        stack.localstack_url
    );
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_global(Some(PATIENCE))
        .proxy(None)
        .build()
        .into();
    let mut response = agent
        .post(&url)
        .send_json(operation.request())
        .with_context(|| {
            format!("{function} cannot be called; `make status` shows what is running")
        })?;
    let failed = response.headers().contains_key("x-amz-function-error");
    let answer: Value = response
        .body_mut()
        .read_json()
        .map_err(|error| anyhow!("{function} does not answer JSON: {error}"))?;
    if failed {
        let reason = answer["errorMessage"]
            .as_str()
            .unwrap_or("it does not say why");
        bail!("{function} failed: {reason}");
    }
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_explained_in_a_sentence() {
        let intact = json!({ "intact": true, "records": 7, "faults": [] });
        let (sentence, is_well) = Operation::VerifyAudit.explain(&intact);
        assert!(is_well && sentence.contains("7 records"), "{sentence}");
        let on_its_way = json!({ "intact": false, "unfinished": true, "faults": [] });
        let (sentence, is_well) = Operation::VerifyAudit.explain(&on_its_way);
        assert!(sentence.contains("goes on") && !is_well, "{sentence}");
        let broken = json!({ "intact": false, "records": 7, "faults": [{}, {}] });
        let (sentence, is_well) = Operation::VerifyAudit.explain(&broken);
        assert!(!is_well && sentence.contains("2 places"), "{sentence}");

        let rotated = json!({ "id": "new", "succeeds": "old", "retiresAt": 86_400 + 3_661 });
        let (sentence, _) = Operation::RotateKey.explain(&rotated);
        assert!(
            sentence.contains("old are accepted until 01:01:01 UTC"),
            "{sentence}"
        );

        let redriven = |redriven, left| {
            Operation::Redrive.explain(&json!({ "redriven": redriven, "letters": 3, "left": left }))
        };
        assert!(redriven(0, 0).0.contains("no dead letters"));
        assert!(redriven(3, 0).1);
        assert!(!redriven(2, 1).1);
    }
}
