//! Whether LocalStack has what a change set was to bring about: it calls done what it has
//! passed over.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, bail, ensure};
use serde_json::{Map, Value};

use super::change::{API, Action, Change, FUNCTION};
use super::endpoint::Endpoint;
use crate::template::Function;

/// What stands for a value that LocalStack did not know when it was asked what would change.
const NOT_KNOWN: &str = "{{changeSet:KNOWN_AFTER_APPLY}}";

const METHODS: [&str; 7] = ["delete", "get", "head", "options", "patch", "post", "put"];
const ANY: &str = "x-amazon-apigateway-any-method";

/// Looks at the functions and the routes.
///
/// # Errors
/// If something is not as it was to be; the error says what.
pub(super) fn verify(
    endpoint: &Endpoint<'_>,
    functions: &[Function],
    changes: &[Change],
) -> Result<()> {
    let list = endpoint.get("lambda", "/2015-03-31/functions/?MaxItems=10000")?;
    let list = list["Functions"].as_array().into_iter().flatten();
    let deployed: BTreeMap<&str, &Value> = list
        .filter_map(|function| Some((function["FunctionName"].as_str()?, function)))
        .collect();
    for function in functions {
        let name = function.name.as_str();
        ensure!(deployed.contains_key(name), "there is no function {name}");
    }
    for change in changes {
        match (change.kind.as_str(), change.action) {
            (FUNCTION, Action::Remove) => {
                let name = change.before.get("FunctionName").and_then(Value::as_str);
                let stays = name.is_some_and(|name| deployed.contains_key(name));
                ensure!(!stays, "{} is still there", change.resource);
            }
            (FUNCTION, Action::Add | Action::Modify) => {
                let name = change.after.get("FunctionName").and_then(Value::as_str);
                let function = name.and_then(|name| deployed.get(name));
                let difference = match function {
                    Some(function) => difference(&change.after, function),
                    None => Some("its name"),
                };
                if let Some(property) = difference {
                    bail!("{} has not got {property}", change.resource);
                }
            }
            (API, Action::Modify) => {
                let path = format!(
                    "/restapis/{}/resources?limit=500&embed=methods",
                    change.physical_id
                );
                let served = routes_served(&endpoint.get("apigateway", &path)?);
                let wanted = routes_wanted(change.after.get("Body"));
                let route = wanted.symmetric_difference(&served).next();
                if let Some((path, method)) = route {
                    bail!("the API is wrong about {method} {path}");
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// What a function has not got as it was to be.
fn difference(wanted: &Map<String, Value>, function: &Value) -> Option<&'static str> {
    ["Description", "Handler", "MemorySize", "Timeout"]
        .into_iter()
        .find(|name| {
            let wanted = wanted.get(*name);
            wanted.is_some_and(|wanted| !is_same(wanted, &function[*name]))
        })
        .or_else(|| {
            let wanted = wanted.get("Environment");
            let wanted = wanted.map_or(&Value::Null, |wanted| &wanted["Variables"]);
            let deployed = &function["Environment"]["Variables"];
            (!are_same_variables(wanted, deployed)).then_some("its variables")
        })
}

fn are_same_variables(wanted: &Value, deployed: &Value) -> bool {
    if wanted == NOT_KNOWN {
        return true;
    }
    let nothing = Map::new();
    let wanted = wanted.as_object().unwrap_or(&nothing);
    let deployed = deployed.as_object().unwrap_or(&nothing);
    wanted.len() == deployed.len()
        && wanted.iter().all(|(name, value)| {
            let deployed = deployed.get(name);
            deployed.is_some_and(|deployed| is_same(value, deployed))
        })
}

/// Numbers may be texts.
fn is_same(wanted: &Value, deployed: &Value) -> bool {
    let text = |value: &Value| {
        value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned)
    };
    text(wanted).contains(NOT_KNOWN) || text(wanted) == text(deployed)
}

fn routes_wanted(body: Option<&Value>) -> BTreeSet<(String, String)> {
    let paths = body.and_then(|body| body["paths"].as_object());
    let mut routes = BTreeSet::new();
    for (path, methods) in paths.into_iter().flatten() {
        for method in methods.as_object().into_iter().flat_map(Map::keys) {
            if method == ANY {
                routes.insert((path.clone(), "ANY".to_owned()));
            } else if METHODS.contains(&method.as_str()) {
                routes.insert((path.clone(), method.to_uppercase()));
            }
        }
    }
    routes
}

fn routes_served(answer: &Value) -> BTreeSet<(String, String)> {
    let resources = answer["item"].as_array();
    let mut routes = BTreeSet::new();
    for resource in resources.into_iter().flatten() {
        let path = resource["path"].as_str().unwrap_or_default();
        for method in resource["resourceMethods"]
            .as_object()
            .into_iter()
            .flat_map(Map::keys)
        {
            routes.insert((path.to_owned(), method.clone()));
        }
    }
    routes
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> Map<String, Value> {
        match value {
            Value::Object(object) => object,
            _ => Map::new(),
        }
    }

    #[test]
    fn a_function_has_what_was_wanted_where_that_was_known() {
        let wanted = object(json!({
            "MemorySize": "256", "Timeout": 15,
            "Environment": { "Variables": { "QUEUE": NOT_KNOWN, "LEVEL": "info" } },
        }));
        let deployed = json!({
            "MemorySize": 256, "Timeout": 15,
            "Environment": { "Variables": { "LEVEL": "info", "QUEUE": "http://queue" } },
        });
        assert_eq!(difference(&wanted, &deployed), None);
    }

    #[test]
    fn what_was_passed_over_shows() {
        let wanted = object(json!({ "MemorySize": 512 }));
        assert_eq!(
            difference(&wanted, &json!({ "MemorySize": 256 })),
            Some("MemorySize")
        );
        let deployed = json!({ "MemorySize": 512, "Environment": { "Variables": { "OLD": "1" } } });
        assert_eq!(difference(&wanted, &deployed), Some("its variables"));
    }

    #[test]
    fn routes_are_methods_of_paths() {
        let wanted = routes_wanted(Some(&json!({ "paths": {
            "/": { ANY: {} },
            "/patients/{id}": { "get": {}, "head": {}, "parameters": [] },
        } })));
        let served = routes_served(&json!({ "item": [
            { "path": "/", "resourceMethods": { "ANY": {} } },
            { "path": "/patients" },
            { "path": "/patients/{id}", "resourceMethods": { "GET": {}, "HEAD": {} } },
        ] }));
        assert_eq!(wanted, served);
        assert_eq!(wanted.len(), 3);
    }
}
