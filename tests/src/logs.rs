//! The logs of the system.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

use crate::Stack;

/// The lines of a function's log that are JSON and have this trace id.
#[must_use]
pub fn function_lines(stack: &Stack, function: &str, trace_id: &str) -> Vec<Value> {
    let file = format!("functions/{}.log", stack.function_name(function));
    lines(&stack.logs().join(file), trace_id)
}

/// The lines of a service's log that are JSON and have this trace id.
#[must_use]
pub fn service_lines(stack: &Stack, service: &str, trace_id: &str) -> Vec<Value> {
    lines(&stack.logs().join(format!("{service}.log")), trace_id)
}

fn lines(file: &Path, trace_id: &str) -> Vec<Value> {
    let content = fs::read_to_string(file).unwrap_or_default();
    let json = content
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    json.filter(|line| has_trace(line, trace_id)).collect()
}

/// `tracing` writes the fields of a whole request under `span`.
fn has_trace(line: &Value, trace_id: &str) -> bool {
    let places = [&line["traceId"], &line["span"]["traceId"]];
    places.into_iter().any(|place| place == trace_id)
}

/// Every file of the stack's logs with its content.
#[must_use]
pub fn all(stack: &Stack) -> Vec<(PathBuf, String)> {
    let mut files = Vec::new();
    collect(&stack.logs(), &mut files);
    assert!(!files.is_empty(), "the stack has no logs");
    files
}

fn collect(folder: &Path, files: &mut Vec<(PathBuf, String)>) {
    let entries = fs::read_dir(folder).expect("a folder with logs");
    for entry in entries {
        let path = entry.expect("an entry of the folder").path();
        if path.is_dir() {
            collect(&path, files);
        } else if let Ok(content) = fs::read(&path) {
            files.push((path, String::from_utf8_lossy(&content).into_owned()));
        }
    }
}
