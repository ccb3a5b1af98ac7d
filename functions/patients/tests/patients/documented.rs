//! Whatever a test is refused with has to be in the API document: the status, and the type of the
//! problem, on that very route.

use std::sync::LazyLock;

use axum::http::Method;
use serde_json::Value;

use crate::fixtures::Answer;

static DOCUMENT: LazyLock<Value> = LazyLock::new(|| {
    let document = include_str!("../../../../docs/openapi.json");
    serde_json::from_str(document).expect("the document is JSON")
});

/// Fails the test if the answer is a problem that clients are not told of.
pub(crate) fn must_be_documented(method: &Method, path: &str, answer: &Answer) {
    let is_refusal = answer.status.is_client_error();
    let Some(operation) = operation(method, path).filter(|_| is_refusal) else {
        return;
    };
    let told = resolved(&operation["responses"][answer.status.as_str()]);
    assert!(!told.is_null(), "{method} {path}: {}", answer.status);
    let examples = told["content"]["application/problem+json"]["examples"].as_object();
    let examples = examples.expect("a problem has examples").values();
    let types: Vec<_> = examples
        .map(|example| &resolved(example)["value"]["type"])
        .collect();
    // A HEAD request gets no body.
    let kind = &answer.body["type"];
    let is_told = kind.is_null() || types.contains(&kind);
    assert!(is_told, "{method} {path}: {kind} is not among {types:?}");
}

/// The operation, unless there is none at this path, or with this method.
fn operation(method: &Method, path: &str) -> Option<&'static Value> {
    let segments: Vec<_> = path.split('/').collect();
    let paths = DOCUMENT["paths"].as_object()?.iter();
    let fitting = paths.filter(|(template, _)| {
        let template: Vec<_> = template.split('/').collect();
        let mut both = template.iter().zip(&segments);
        template.len() == segments.len()
            && both.all(|(template, segment)| template.starts_with('{') || template == segment)
    });
    // A name in the path wins over a parameter.
    let (_, item) = fitting.min_by_key(|(template, _)| template.matches('{').count())?;
    let name = match *method {
        Method::HEAD => "get".to_owned(),
        _ => method.as_str().to_lowercase(),
    };
    item.get(name)
}

fn resolved(value: &'static Value) -> &'static Value {
    let target = value["$ref"].as_str();
    let target = target.and_then(|target| target.strip_prefix('#'));
    target.map_or(value, |target| {
        DOCUMENT.pointer(target).expect("it resolves")
    })
}
