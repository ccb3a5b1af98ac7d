//! There is a sample event for every function, and it is valid input for the function.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use aws_lambda_events::{
    apigw::{ApiGatewayCustomAuthorizerRequest, ApiGatewayProxyRequest},
    eventbridge::EventBridgeEvent,
    kafka::KafkaEvent,
};
use serde_json::{Value, json};
use serde_yaml_ng::Value as Yaml;
use system_tests::Clinic;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// What invokes a function.
#[derive(Debug, Default)]
struct Triggers {
    /// Method and path.
    routes: Vec<(String, String)>,
    kafka: bool,
    schedule: bool,
    authorizer: bool,
}

/// The functions of the template, by the names of their binaries.
fn functions() -> BTreeMap<String, Triggers> {
    let text = fs::read_to_string(repository().join("template.yaml")).unwrap();
    let template: Yaml = serde_yaml_ng::from_str(&text).unwrap();
    let resources = template["Resources"].as_mapping().unwrap();
    let mut functions = BTreeMap::new();
    for (name, resource) in resources {
        if resource["Type"] != "AWS::Serverless::Function" {
            continue;
        }
        let name = name.as_str().unwrap();
        let program = resource["Metadata"]["BuildProperties"]["Binary"]
            .as_str()
            .unwrap();
        let mut triggers = Triggers {
            routes: routes_of(program),
            ..Triggers::default()
        };
        let events = resource["Properties"]["Events"].as_mapping();
        for (_, event) in events.into_iter().flatten() {
            match event["Type"].as_str().unwrap() {
                "Schedule" => triggers.schedule = true,
                other => panic!("{program}: unexpected event type {other}"),
            }
        }
        triggers.kafka = resources.iter().any(|(_, mapping)| {
            mapping["Type"] == "AWS::Lambda::EventSourceMapping"
                && mapping["Properties"]["Topics"].is_sequence()
                && refers_to(&mapping["Properties"]["FunctionName"], name)
        });
        let authorizers = resources
            .iter()
            .filter_map(|(_, api)| api["Properties"]["Auth"]["Authorizers"].as_mapping());
        triggers.authorizer = authorizers
            .flatten()
            .any(|(_, authorizer)| refers_to(&authorizer["FunctionArn"], name));
        functions.insert(program.to_owned(), triggers);
    }
    functions
}

/// Method and path of the routes that a function serves. `unrouted` serves every other method and
/// path.
fn routes_of(program: &str) -> Vec<(String, String)> {
    let routes = route::table().iter();
    if program == "unrouted" {
        return routes
            .map(|row| ("ANY".to_owned(), row.path.to_owned()))
            .collect();
    }
    routes
        .filter(|row| row.function == program)
        .map(|row| (row.method.name().to_owned(), row.path.to_owned()))
        .collect()
}

/// `!Ref Name` or `!GetAtt Name.Arn`.
fn refers_to(value: &Yaml, name: &str) -> bool {
    let Yaml::Tagged(tagged) = value else {
        return false;
    };
    let text = tagged.value.as_str().unwrap_or_default();
    text.split('.').next() == Some(name)
}

fn sample(function: &str) -> String {
    let file = repository().join(format!("events/{function}.json"));
    fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

#[test]
fn every_function_has_a_sample_event_and_every_sample_event_a_function() {
    let functions: BTreeSet<_> = functions().into_keys().collect();
    assert!(!functions.is_empty());
    let files = fs::read_dir(repository().join("events")).unwrap();
    let samples: BTreeSet<_> = files
        .map(|file| file.unwrap().path())
        .filter(|file| {
            file.extension()
                .is_some_and(|extension| extension == "json")
        })
        .map(|file| file.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    assert_eq!(samples, functions);
}

#[test]
fn every_sample_event_is_valid_input_for_its_function() {
    for (function, triggers) in functions() {
        let sample = sample(&function);
        let value: Value = serde_json::from_str(&sample).unwrap();
        if triggers.authorizer {
            let request: ApiGatewayCustomAuthorizerRequest = read(&function, &sample);
            assert!(
                request
                    .authorization_token
                    .is_some_and(|token| token.starts_with("Bearer "))
            );
            assert!(request.method_arn.unwrap().contains(":execute-api:"));
        } else if triggers.kafka {
            let event: KafkaEvent = read(&function, &sample);
            assert!(event.records.values().flatten().count() > 0, "{function}");
        } else if triggers.schedule {
            let event: EventBridgeEvent<Value> = read(&function, &sample);
            assert_eq!(event.detail_type, "Scheduled Event", "{function}");
        } else if triggers.routes.is_empty() {
            assert!(value.is_object(), "{function}");
        } else {
            assert_request(&function, &sample, &triggers.routes);
        }
    }
}

fn read<T: serde::de::DeserializeOwned>(function: &str, sample: &str) -> T {
    serde_json::from_str(sample).unwrap_or_else(|error| panic!("{function}: {error}"))
}

fn assert_request(function: &str, sample: &str, routes: &[(String, String)]) {
    let request: ApiGatewayProxyRequest = read(function, sample);
    let resource = request.resource.unwrap();
    let method = request.http_method.as_str();
    let is_sampled =
        |(known, path): &(String, String)| (known == method || known == "ANY") && *path == resource;
    assert!(
        routes.iter().any(is_sampled),
        "{function}: {method} {resource} is not its route"
    );
    let mut path = resource.clone();
    for (name, value) in &request.path_parameters {
        path = path.replace(&format!("{{{name}}}"), value);
        path = path.replace(&format!("{{{name}+}}"), value);
    }
    assert_eq!(request.path.as_deref(), Some(path.as_str()), "{function}");
    if route::table()
        .iter()
        .any(|row| row.path == resource && row.method.name() == method && row.permission.is_some())
    {
        let caller = &request.request_context.authorizer.fields;
        assert!(
            caller.contains_key("sub") && caller.contains_key("role"),
            "{function}"
        );
    }
    assert!(lambda_http::request::from_str(sample).is_ok(), "{function}");
}

/// A custom domain may put a base path before every path, and a client a slash after it.
#[tokio::test]
async fn functions_use_the_route_that_the_gateway_matched_whatever_the_path() {
    let clinic = Clinic::open();
    let mut tried = 0;
    for (function, triggers) in functions() {
        if triggers.routes.is_empty() {
            continue;
        }
        let mut event: Value = serde_json::from_str(&sample(&function)).unwrap();
        // Without a caller: only whether the function is reached matters here.
        event["requestContext"]["authorizer"] = Value::Null;
        let path = event["path"].as_str().unwrap().to_owned();
        let mut answers = Vec::new();
        for path in [
            path.clone(),
            format!("{path}/"),
            format!("/clinic{path}"),
            format!("/clinic/v2{path}/"),
        ] {
            event["path"] = json!(path);
            let answer = clinic.aws().invoke(&function, &event).await.payload;
            let body = answer["body"].as_str().unwrap_or_default();
            assert!(
                !body.contains("There is no such route"),
                "{function} {path}"
            );
            answers.push(answer["statusCode"].clone());
        }
        // With a trailing slash, the page redirects to where its relative addresses are right.
        if function == "docs" {
            assert_eq!(answers, [200, 308, 200, 308]);
        } else {
            assert!(
                answers[0].is_u64() && answers[0] != 405,
                "{function}: {answers:?}"
            );
            let all_same = answers.iter().all(|answer| *answer == answers[0]);
            assert!(all_same, "{function}: {answers:?}");
        }
        tried += 1;
    }
    assert!(tried > 20, "{tried}");
}
