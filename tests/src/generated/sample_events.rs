//! A sample event for each function that serves routes and has none yet. They may be improved by
//! hand, so existing ones are not overwritten.

use std::{collections::BTreeSet, path::Path};

use anyhow::Result;
use identity::Role;
use programs::SERVICES;
use route::Row;
use serde_json::{Value, json};
use utoipa::openapi::OpenApi;

use super::{File, openapi_document};

/// The caller, a patient, and the id of something that does not exist: those of the document's examples.
const CALLER: &str = "0199f7a2-6c1e-7c35-9b6c-0d2a54f3c1ab";
const PATIENT: &str = "0199f7a2-6c1e-7c35-9b6c-0d2a54f3c1aa";
const SOMETHING: &str = "0199f7a2-6c1e-7c35-9b6c-0d2a54f3c1ad";

pub(super) fn missing(repository: &Path, document: &OpenApi) -> Result<Vec<File>> {
    let document = serde_json::to_value(document)?;
    let mut files = Vec::new();
    let mut known = BTreeSet::new();
    for row in SERVICES.iter().flat_map(|service| service.routes) {
        let path = format!("events/{}.json", row.function);
        if known.insert(row.function) && !repository.join(&path).exists() {
            let mut json = serde_json::to_string_pretty(&event(row, &document))?;
            json.push('\n');
            files.push(File::new(path, json));
        }
    }
    Ok(files)
}

/// An API Gateway event: format version 1.0 of a proxy integration.
fn event(row: &Row, document: &Value) -> Value {
    let mut path = row.path.to_owned();
    let mut parameters = serde_json::Map::new();
    for segment in row.path.split('/').filter(|part| part.starts_with('{')) {
        let name = segment.trim_matches(['{', '}', '+']);
        let id = example_id(row.path, name);
        path = path.replace(segment, id);
        parameters.insert(name.to_owned(), id.into());
    }
    let body = example_body(row, document).map(|body| body.to_string());
    let mut headers = json!({ "Accept": "application/json", "Host": "localhost:4566" });
    if body.is_some() {
        headers["Content-Type"] = "application/json".into();
    }
    let several: serde_json::Map<_, _> = headers
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, value)| (name.clone(), json!([value])))
        .collect();
    let mut context = json!({
        "accountId": "000000000000",
        "apiId": "local",
        "httpMethod": row.method,
        "identity": { "sourceIp": "127.0.0.1", "userAgent": "cargo-lambda" },
        "path": path,
        "protocol": "HTTP/1.1",
        "requestId": "c6af9ac6-7b61-11e6-9a41-93e8deadbeef",
        "requestTime": "15/Jan/2026:09:30:00 +0000",
        "requestTimeEpoch": 1_768_469_400_125_u64,
        "resourceId": "local",
        "resourcePath": row.path,
    });
    let role = row
        .permission
        .and_then(|permission| Role::ALL.iter().copied().find(|role| role.may(permission)));
    if let Some(role) = role {
        context["authorizer"] = json!({ "principalId": CALLER, "sub": CALLER, "role": role });
    }
    json!({
        "resource": row.path,
        "path": path,
        "httpMethod": row.method,
        "headers": headers,
        "multiValueHeaders": several,
        "queryStringParameters": null,
        "multiValueQueryStringParameters": null,
        "pathParameters": if parameters.is_empty() { Value::Null } else { parameters.into() },
        "stageVariables": null,
        "requestContext": context,
        "body": body,
        "isBase64Encoded": false,
    })
}

/// What the id in a path is in the examples of the document.
fn example_id(path: &str, parameter: &str) -> &'static str {
    const IDS: [(&str, &str); 5] = [
        ("/api/patients/{id}", PATIENT),
        ("/api/charges/{id}", "0199f7a2-6d02-7a11-8f0e-5b1c7a90d3f1"),
        ("/api/invoices/{id}", "0199f7a2-6d02-7a11-8f0e-5b1c7a90d3f2"),
        ("/api/payments/{id}", "0199f7a2-6d02-7a11-8f0e-5b1c7a90d3f6"),
        ("/api/refunds/{id}", "0199f7a2-6d02-7a11-8f0e-5b1c7a90d3f8"),
    ];
    let known = IDS.iter().find(|(of, _)| path.starts_with(of));
    known
        .filter(|_| parameter == "id")
        .map_or(SOMETHING, |(_, id)| id)
}

/// The example of the body's schema in the API document.
fn example_body(row: &Row, document: &Value) -> Option<Value> {
    let path = openapi_document::path_of(row);
    let operation = &document["paths"][path][row.method.name().to_lowercase()];
    let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
    let schema = document.pointer(schema["$ref"].as_str()?.strip_prefix('#')?)?;
    let example = &schema["example"];
    (!example.is_null()).then(|| example.clone())
}
