//! Metrics in CloudWatch's embedded metric format: log lines that CloudWatch itself turns into
//! metrics, so that a function needs neither a client nor a permission
//! (<https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>).

use std::{env, io::Write as _, sync::OnceLock};

use serde_json::{Map, Value, json};

use crate::logs::is_logging;

/// The most values that a metric has in one line.
pub const MOST_VALUES: usize = 100;

const NAMESPACE: &str = "PatientManagement";

/// What a number measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr)]
pub enum Unit {
    /// A number of things.
    Count,
    /// A duration in milliseconds.
    Milliseconds,
    /// A duration in seconds.
    Seconds,
}

/// A set of metrics with their dimensions.
///
/// Every combination of dimension values is a metric of its own in CloudWatch, so only values from
/// a small, fixed set belong there. Anything else to search by is a [`property`](Self::property).
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

    /// Metrics of the function that this process serves, under its name in the deployment, so that
    /// two deployments in one account are told apart. Outside Lambda, this name is used.
    #[must_use]
    pub fn of_function(name: &str) -> Self {
        static DEPLOYED_AS: OnceLock<Option<String>> = OnceLock::new();
        let deployed_as = DEPLOYED_AS.get_or_init(|| env::var("AWS_LAMBDA_FUNCTION_NAME").ok());
        Self::new().dimension("Function", deployed_as.as_deref().unwrap_or(name))
    }

    /// Adds a dimension.
    #[must_use]
    pub fn dimension(mut self, name: &'static str, value: &str) -> Self {
        self.dimensions.push(name);
        self.members.insert(name.to_owned(), value.into());
        self
    }

    /// Adds a metric.
    #[must_use]
    pub fn metric(mut self, name: &'static str, unit: Unit, value: f64) -> Self {
        self.definitions
            .push(json!({ "Name": name, "Unit": <&'static str>::from(unit) }));
        self.members.insert(name.to_owned(), value.into());
        self
    }

    /// Adds a metric with as many values as there are, at most [`MOST_VALUES`].
    #[must_use]
    pub fn values(mut self, name: &'static str, unit: Unit, values: &[f64]) -> Self {
        self.definitions
            .push(json!({ "Name": name, "Unit": <&'static str>::from(unit) }));
        self.members.insert(name.to_owned(), values.into());
        self
    }

    /// Adds something to search by, such as a request id.
    #[must_use]
    pub fn property(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.members.insert(name.to_owned(), value.into());
        self
    }

    /// Writes the line, if the process has started logging. If standard output cannot be written
    /// to, the metric is lost, never the request.
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
    fn a_metric_may_have_several_values() {
        let line = Metrics::new().values("EventAge", Unit::Milliseconds, &[1.5, 7.0]);
        let line: Value = serde_json::from_str(&line.into_line(0)).unwrap();
        assert_eq!(line["EventAge"], json!([1.5, 7.0]));
        let defined = &line["_aws"]["CloudWatchMetrics"][0]["Metrics"];
        assert_eq!(
            *defined,
            json!([{ "Name": "EventAge", "Unit": "Milliseconds" }])
        );
    }

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
