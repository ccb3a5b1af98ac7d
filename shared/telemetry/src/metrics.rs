//! Metrics in CloudWatch's embedded metric format: a log line that CloudWatch turns
//! into metrics by itself, so that a function needs neither a client nor a permission
//! (<https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>).

use std::{env, io::Write as _, sync::OnceLock};

use serde_json::{Map, Value, json};

use crate::logs::is_logging;

const NAMESPACE: &str = "PatientManagement";

/// What a number measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// How many.
    Count,
    /// How long, in milliseconds.
    Milliseconds,
    /// How long, in seconds.
    Seconds,
}

impl Unit {
    const fn name(self) -> &'static str {
        match self {
            Self::Count => "Count",
            Self::Milliseconds => "Milliseconds",
            Self::Seconds => "Seconds",
        }
    }
}

/// One set of metrics with the dimensions they are counted by.
///
/// Dimensions become metrics of their own in CloudWatch: only values from a small, fixed
/// set belong there. What is wanted for searching is a [`property`](Self::property).
#[derive(Debug, Default)]
pub struct Metrics {
    dimensions: Vec<&'static str>,
    definitions: Vec<Value>,
    members: Map<String, Value>,
}

impl Metrics {
    /// An empty set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Metrics of the function that this process serves: by the name that it has in its
    /// deployment, so that two deployments in one account are told apart. Elsewhere than on
    /// Lambda by this name.
    #[must_use]
    pub fn of_function(name: &str) -> Self {
        static DEPLOYED_AS: OnceLock<Option<String>> = OnceLock::new();
        let deployed_as = DEPLOYED_AS.get_or_init(|| env::var("AWS_LAMBDA_FUNCTION_NAME").ok());
        Self::new().dimension("Function", deployed_as.as_deref().unwrap_or(name))
    }

    /// Counts the metrics by this dimension.
    #[must_use]
    pub fn dimension(mut self, name: &'static str, value: &str) -> Self {
        self.dimensions.push(name);
        self.members.insert(name.to_owned(), value.into());
        self
    }

    /// A number.
    #[must_use]
    pub fn metric(mut self, name: &'static str, unit: Unit, value: f64) -> Self {
        self.definitions
            .push(json!({ "Name": name, "Unit": unit.name() }));
        self.members.insert(name.to_owned(), value.into());
        self
    }

    /// Something to search for beside the numbers, such as a request id.
    #[must_use]
    pub fn property(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.members.insert(name.to_owned(), value.into());
        self
    }

    /// Writes the line, in a process that has started logging. A standard output that cannot
    /// be written to loses the metric, never the request.
    pub fn emit(self) {
        if !is_logging() {
            return;
        }
        let mut line = self.into_line(chrono::Utc::now().timestamp_millis());
        line.push('\n');
        let _ = std::io::stdout().lock().write_all(line.as_bytes());
    }

    fn into_line(self, timestamp_millis: i64) -> String {
        let mut line = self.members;
        line.insert(
            "_aws".to_owned(),
            json!({
                "Timestamp": timestamp_millis,
                "CloudWatchMetrics": [{
                    "Namespace": NAMESPACE,
                    "Dimensions": [self.dimensions],
                    "Metrics": self.definitions,
                }],
            }),
        );
        Value::Object(line).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_follows_the_embedded_metric_format() {
        let line = Metrics::new()
            .dimension("Function", "get-patient")
            .metric("Duration", Unit::Milliseconds, 12.5)
            .property("requestId", "r-1")
            .into_line(1_700_000_000_000);

        let line: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(
            line,
            json!({
                "_aws": {
                    "Timestamp": 1_700_000_000_000_i64,
                    "CloudWatchMetrics": [{
                        "Namespace": "PatientManagement",
                        "Dimensions": [["Function"]],
                        "Metrics": [{ "Name": "Duration", "Unit": "Milliseconds" }],
                    }],
                },
                "Function": "get-patient",
                "Duration": 12.5,
                "requestId": "r-1",
            })
        );
    }
}
