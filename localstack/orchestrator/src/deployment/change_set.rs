//! Changing what is deployed to what a template says, with a change set of `CloudFormation`.

use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::aws::BUCKET;
use super::change::Change;
use super::endpoint::{Endpoint, Mistake, members};
use crate::progress::Step;

/// Between two looks at what is being changed.
const POLL: Duration = Duration::from_millis(50);

/// What LocalStack says of a template that is like the one before.
const NOTHING_CHANGES: &str = "didn't contain changes";

/// Changes that have been thought through, and not been made.
pub(super) struct ChangeSet<'a> {
    endpoint: &'a Endpoint<'a>,
    stack_name: &'a str,
    name: String,
    pub(super) changes: Vec<Change>,
}

impl<'a> ChangeSet<'a> {
    /// Has LocalStack find out what would change.
    ///
    /// # Errors
    /// If it does not take the template, or was cancelled.
    pub(super) fn create(
        step: &Step<'_>,
        endpoint: &'a Endpoint<'a>,
        stack_name: &'a str,
        template: &str,
        parameters: &[(String, String)],
    ) -> Result<Self> {
        // As SAM does it: the template is larger than a call may be.
        let object = format!("/{BUCKET}/{stack_name}/changed.template");
        endpoint.put_object(&object, template)?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let mut set = Self {
            endpoint,
            stack_name,
            name: format!("change-{}", now.unwrap_or_default().as_nanos()),
            changes: Vec::new(),
        };
        let url = endpoint.url_of(&object);
        let fixed = [
            ("ChangeSetType", "UPDATE"),
            ("TemplateURL", &url),
            ("Capabilities.member.1", "CAPABILITY_IAM"),
            ("Capabilities.member.2", "CAPABILITY_AUTO_EXPAND"),
        ];
        let fixed = fixed.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let parameters = parameters
            .iter()
            .enumerate()
            .flat_map(|(index, (name, value))| {
                let parameter = format!("Parameters.member.{}", index + 1);
                [
                    (format!("{parameter}.ParameterKey"), name.clone()),
                    (format!("{parameter}.ParameterValue"), value.clone()),
                ]
            });
        set.call("CreateChangeSet", fixed.into_iter().chain(parameters))?;
        set.changes = set.await_changes(step)?;
        Ok(set)
    }

    fn await_changes(&self, step: &Step<'_>) -> Result<Vec<Change>> {
        loop {
            let values = [("IncludePropertyValues".to_owned(), "true".to_owned())];
            let set = self.call("DescribeChangeSet", values)?;
            match set["Status"].as_str() {
                Some("CREATE_COMPLETE") => {
                    let changes = members(&set["Changes"]).into_iter().map(|change| {
                        Change::read(change).context("LocalStack names a change of a new kind")
                    });
                    return changes.collect();
                }
                Some("FAILED") => {
                    let reason = set["StatusReason"]
                        .as_str()
                        .unwrap_or("it does not say why");
                    if reason.contains(NOTHING_CHANGES) {
                        return Ok(Vec::new());
                    }
                    return Err(Mistake(reason.to_owned()).into());
                }
                _ => step.check()?,
            }
            thread::sleep(POLL);
        }
    }

    /// Makes the changes, and returns the stack as it is described then.
    ///
    /// # Errors
    /// If one fails, or if it was cancelled. What there is then is neither the one nor the other.
    pub(super) fn execute(&self, step: &Step<'_>) -> Result<Value> {
        if !self.changes.is_empty() {
            self.call("ExecuteChangeSet", [])?;
        }
        loop {
            let stacks = self.call("DescribeStacks", [])?;
            let stacks = members(&stacks["Stacks"]);
            let stack = stacks.first().context("LocalStack has no such stack")?;
            match stack["StackStatus"].as_str() {
                Some("UPDATE_COMPLETE" | "CREATE_COMPLETE") => return Ok((*stack).clone()),
                Some(status) if status.ends_with("_IN_PROGRESS") => step.check()?,
                status => bail!("LocalStack ended with {}", status.unwrap_or("no status")),
            }
            thread::sleep(POLL);
        }
    }

    fn call(
        &self,
        action: &str,
        arguments: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Value> {
        let names = [
            ("StackName".to_owned(), self.stack_name.to_owned()),
            ("ChangeSetName".to_owned(), self.name.clone()),
        ];
        // The description of a stack takes no other name.
        let names = names
            .into_iter()
            .take(if action == "DescribeStacks" { 1 } else { 2 });
        self.endpoint
            .cloud_formation(action, names.chain(arguments))
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::sync::{Arc, Mutex};

    use serde_json::json;

    use super::*;
    use crate::cancellation::Cancellation;
    use crate::progress::Progress;

    /// Answers one question after the other, and remembers what it was asked.
    struct Fake {
        url: String,
        asked: Arc<Mutex<Vec<String>>>,
    }

    impl Fake {
        fn answering(answers: Vec<(u16, Value)>) -> Self {
            let server = TcpListener::bind("127.0.0.1:0").unwrap();
            let url = format!("http://{}", server.local_addr().unwrap());
            let asked = Arc::new(Mutex::new(Vec::new()));
            let questions = Arc::clone(&asked);
            thread::spawn(move || {
                for (status, answer) in answers {
                    let (mut connection, _) = server.accept().unwrap();
                    questions.lock().unwrap().push(question(&connection));
                    let answer = answer.to_string();
                    let length = answer.len();
                    write!(
                        connection,
                        "HTTP/1.1 {status} It\r\nconnection: close\r\n\
                         content-type: application/json\r\ncontent-length: {length}\r\n\r\n{answer}"
                    )
                    .unwrap();
                }
            });
            Self { url, asked }
        }

        fn changes(&self) -> Result<(usize, Value)> {
            let endpoint = Endpoint::new(&self.url);
            let parameters = [("LogLevel".to_owned(), "info,sqlx=debug".to_owned())];
            Progress::new(Cancellation::default()).step("change", |step| {
                let set = ChangeSet::create(step, &endpoint, "clinic", "{}", &parameters)?;
                Ok((set.changes.len(), set.execute(step)?))
            })
        }

        fn asked(&self) -> Vec<String> {
            self.asked.lock().unwrap().clone()
        }
    }

    /// The first line and the body.
    fn question(connection: &TcpStream) -> String {
        let mut reader = BufReader::new(connection);
        let mut first = String::new();
        reader.read_line(&mut first).unwrap();
        let mut length = 0;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            match line.trim().to_lowercase().split_once(": ") {
                Some(("content-length", value)) => length = value.parse().unwrap(),
                Some(_) => {}
                None => break,
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        format!("{} {}", first.trim(), String::from_utf8(body).unwrap())
    }

    fn result(action: &str, result: &Value) -> (u16, Value) {
        let name = format!("{action}Result");
        (
            200,
            json!({ format!("{action}Response"): { name: result } }),
        )
    }

    fn described(set: &Value) -> Vec<(u16, Value)> {
        vec![
            (200, Value::Null),
            result("CreateChangeSet", &json!({})),
            result("DescribeChangeSet", set),
        ]
    }

    fn a_change() -> Value {
        json!({ "Status": "CREATE_COMPLETE", "Changes": { "member": { "ResourceChange": {
            "Action": "Add", "LogicalResourceId": "It", "ResourceType": "AWS::SQS::Queue",
        } } } })
    }

    fn stack(status: &str) -> (u16, Value) {
        let stack = json!({ "StackStatus": status });
        result("DescribeStacks", &json!({ "Stacks": { "member": stack } }))
    }

    #[test]
    fn changes_are_made_and_waited_for() {
        let mut answers = described(&a_change());
        answers.push(result("ExecuteChangeSet", &json!({})));
        answers.push(stack("UPDATE_IN_PROGRESS"));
        answers.push(stack("UPDATE_COMPLETE"));
        let localstack = Fake::answering(answers);
        let (changes, stack) = localstack.changes().unwrap();
        assert_eq!(changes, 1);
        assert_eq!(stack["StackStatus"], "UPDATE_COMPLETE");
        let asked = localstack.asked();
        assert_eq!(
            asked[0],
            "PUT /deployments/clinic/changed.template HTTP/1.1 {}"
        );
        assert!(
            asked[1].contains("ParameterValue=info%2Csqlx%3Ddebug"),
            "{asked:?}"
        );
        assert_eq!(asked.len(), 6);
    }

    #[test]
    fn what_fails_half_way_is_no_change() {
        let mut answers = described(&a_change());
        answers.push(result("ExecuteChangeSet", &json!({})));
        answers.push(stack("ROLLBACK_COMPLETE"));
        let error = Fake::answering(answers).changes().unwrap_err();
        assert!(error.to_string().contains("ROLLBACK_COMPLETE"), "{error}");
    }

    #[test]
    fn a_template_that_changes_nothing_is_not_executed() {
        let nothing = json!({ "Status": "FAILED",
            "StatusReason": "The submitted information didn't contain changes." });
        let mut answers = described(&nothing);
        answers.push(stack("CREATE_COMPLETE"));
        let localstack = Fake::answering(answers);
        assert_eq!(localstack.changes().unwrap().0, 0);
        assert!(localstack.asked()[3].contains("DescribeStacks"));
    }

    #[test]
    fn a_template_with_a_mistake_is_told_from_what_localstack_cannot_do() {
        let invalid = json!({ "Status": "FAILED", "StatusReason": "property Nonsense" });
        let error = Fake::answering(described(&invalid)).changes().unwrap_err();
        assert!(
            error.to_string().contains("refused: property Nonsense"),
            "{error}"
        );

        let refused =
            json!({ "ErrorResponse": { "Error": { "Message": "Template format error" } } });
        for (status, is_mistake) in [(400, true), (500, false)] {
            let answers = vec![(200, Value::Null), (status, refused.clone())];
            let localstack = Fake::answering(answers);
            let error = localstack.changes().unwrap_err().to_string();
            assert_eq!(error.contains("template.yaml"), is_mistake, "{error}");
        }
    }

    #[test]
    fn a_template_that_is_refused_is_told_about_in_short() {
        let refused = json!({ "ErrorResponse": { "Error": { "Message": "x".repeat(70_000) } } });
        let answers = vec![(200, Value::Null), (400, refused)];
        let error = Fake::answering(answers).changes().unwrap_err().to_string();
        assert!(
            error.starts_with("CreateChangeSet is refused: xxx"),
            "{error}"
        );
        assert!(error.len() < 500, "{}", error.len());
    }
}
