//! The problems that clients can get: each example is described once, and every operation refers to
//! those that it can answer with.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, ensure};
use api::{Problem, ProblemDocument, ProblemType};
use route::Row;
use serde_json::Value;
use utoipa::{
    ToSchema as _,
    openapi::{
        Components, ContentBuilder, Ref, RefOr, Response, ResponseBuilder, Schema,
        example::ExampleBuilder,
        path::{Operation, Parameter, ParameterIn},
    },
};

use super::{
    cases::{self, Case},
    has_parameter, headers,
};

const CONTENT_TYPE: &str = "application/problem+json";

/// The tag of operations without input or dependencies.
const PLATFORM: &str = "platform";

/// Which problems there are.
#[derive(Debug)]
pub(super) struct Problems {
    cases: Vec<Case>,
    /// By name and function.
    told: BTreeSet<(String, &'static str)>,
}

impl Problems {
    pub(super) fn new() -> Self {
        Self {
            cases: cases::of_handlers(),
            told: BTreeSet::new(),
        }
    }

    /// Completes the problems of an operation: those that its handler documents, in the handler's
    /// words, and those that the layers around every handler cause. Adds them to the shared
    /// components.
    ///
    /// # Errors
    /// If the handler documents a status without an example.
    pub(super) fn complete(
        &mut self,
        operation: &mut Operation,
        components: &mut Components,
        row: &Row,
        asks_for_token: bool,
    ) -> Result<()> {
        let mut by_status = BTreeMap::<String, Vec<&Case>>::new();
        let around = around(operation, row, asks_for_token);
        let own = self.cases.iter();
        let own = own.filter(|case| case.functions.contains(&row.function));
        for case in own.chain(&around) {
            let status = case.problem.kind().status().as_str().to_owned();
            by_status.entry(status).or_default().push(case);
        }
        let responses = &mut operation.responses.responses;
        for (status, response) in &mut *responses {
            let RefOr::T(described) = &*response else {
                continue;
            };
            if described.content.contains_key(CONTENT_TYPE) {
                let cases = by_status.remove(status);
                let cases = cases.with_context(|| {
                    format!("{} documents {status}, and no case is known", row.function)
                })?;
                for case in &cases {
                    self.told.insert((case.name.clone(), row.function));
                }
                let description = described.description.clone();
                *response = answer(components, &cases, Some(description));
            }
        }
        for (status, cases) in by_status {
            // Without the layers, it is another operation of the same function that answers with it.
            if cases.iter().any(|case| case.functions.is_empty()) {
                for case in &cases {
                    self.told.insert((case.name.clone(), row.function));
                }
                let response = || answer(components, &cases, None);
                responses.entry(status).or_insert_with(response);
            }
        }
        let other = Case::new(
            ProblemType::Internal.name(),
            "An error on our side",
            Problem::internal("an example"),
        );
        let other = answer(components, &[&other], Some("Any other problem".to_owned()));
        responses.insert("default".to_owned(), other);
        Ok(())
    }

    /// Makes sure that every case is documented by the routes that are said to answer with it.
    ///
    /// # Errors
    /// If one is not.
    pub(super) fn must_be_told(&self) -> Result<()> {
        for case in &self.cases {
            for function in &case.functions {
                ensure!(
                    self.told.contains(&(case.name.clone(), function)),
                    "{function} answers with {}, and does not document {}",
                    case.name,
                    case.problem.kind().status(),
                );
            }
        }
        Ok(())
    }
}

/// What the layers around the handler of an operation answer.
fn around(operation: &Operation, row: &Row, asks_for_token: bool) -> Vec<Case> {
    let is_conditional = has_parameter(operation, "If-Match");
    let has_body = operation.request_body.is_some();
    let of_platform = operation.tags.iter().flatten().any(|tag| tag == PLATFORM);
    let plain = Problem::new;
    let caused = [
        (
            asks_for_token,
            "There is no valid access token",
            Problem::unauthorized(),
        ),
        (
            row.permission.is_some(),
            "Your role does not allow this",
            Problem::forbidden(),
        ),
        (
            row.once && !row.by_service,
            "The same request is being processed",
            plain(
                ProblemType::RequestInProgress,
                "A request with this Idempotency-Key is being processed",
            ),
        ),
        (
            row.once,
            "The Idempotency-Key belongs to another request",
            plain(
                ProblemType::IdempotencyKeyReused,
                "The Idempotency-Key belongs to another request; a new request needs a new key",
            ),
        ),
        (
            is_conditional,
            "Somebody changed it meanwhile",
            Problem::precondition_failed(),
        ),
        (
            is_conditional,
            "The change must name the version that it is based on",
            Problem::precondition_required(),
        ),
        (
            has_body,
            "The body is larger than 64 KiB",
            plain(
                ProblemType::BodyTooLarge,
                "The body must not be larger than 64 KiB",
            ),
        ),
        (
            has_body,
            "The body is not JSON",
            plain(
                ProblemType::UnsupportedMediaType,
                "The body must be JSON in UTF-8, with Content-Type: application/json",
            ),
        ),
        (
            true,
            "Too many requests: try again after the time in Retry-After",
            Problem::too_many_requests(8),
        ),
        (
            !of_platform,
            "The system cannot answer right now: try again after the time in Retry-After",
            Problem::unavailable(1, "an example"),
        ),
    ];
    let caused = caused.into_iter().filter(|(applies, ..)| *applies);
    let caused =
        caused.map(|(_, summary, problem)| Case::new(problem.kind().name(), summary, problem));
    let input = if of_platform {
        Vec::new()
    } else {
        invalid_input(operation)
    };
    input.into_iter().chain(caused).collect()
}

/// How the input of an operation is refused before its handler sees it.
fn invalid_input(operation: &Operation) -> Vec<Case> {
    let parameters = operation.parameters.iter().flatten();
    let parameters: Vec<&Parameter> = parameters
        .filter_map(|parameter| match parameter {
            RefOr::T(parameter) => Some(parameter),
            RefOr::Ref(_) => None,
        })
        .collect();
    let of_path: Vec<_> = parameters
        .iter()
        .filter(|parameter| parameter.parameter_in == ParameterIn::Path)
        .collect();
    let mut cases = Vec::new();
    let mut refuse = |name: &str, summary: &str, field: &str, message: &str, detail: &str| {
        let problem = Problem::invalid_field(field, message).with_detail(detail);
        cases.push(Case::new(name, summary, problem));
    };
    let not_an_id = "The id is not a UUID";
    match &*of_path {
        [one] if one.name == "id" => {
            let message = "The id must be a UUID";
            refuse("invalid-id", not_an_id, "id", message, message);
        }
        [first, _, ..] if first.name == "id" => {
            let message = "Must be a UUID such as 0199f7a2-6c1e-7c35-9b6c-0d2a54f3c1aa";
            let detail = "The parameter id has an invalid value";
            refuse("invalid-id-of-several", not_an_id, "id", message, detail);
        }
        _ => {}
    }
    if let Some(most) = parameters.iter().find_map(|parameter| most(parameter)) {
        let name = format!("invalid-limit-of-{most}");
        let message = format!("Must be a number from 1 to {most}");
        let detail = "The parameter limit has an invalid value";
        refuse(&name, "The page is too long", "limit", &message, detail);
    }
    let of_query = parameters
        .iter()
        .any(|parameter| parameter.parameter_in == ParameterIn::Query);
    if of_query {
        refuse(
            "unknown-parameter",
            "A parameter is not known",
            "page",
            "There is no such parameter",
            "There is no parameter page",
        );
    }
    if let Some(RefOr::T(body)) = &operation.request_body
        && body.content.contains_key("application/json")
    {
        refuse(
            "unknown-field",
            "A field is not known",
            "nickname",
            "There is no such field",
            "There is no field nickname",
        );
    }
    cases
}

/// The largest page, of a parameter that says how large it is to be.
fn most(parameter: &Parameter) -> Option<u64> {
    let schema = parameter.schema.as_ref();
    let schema = schema.filter(|_| parameter.name == "limit")?;
    let RefOr::T(Schema::Object(schema)) = schema else {
        return None;
    };
    let most = serde_json::to_value(schema.maximum.as_ref()?).ok()?;
    most.as_u64()
}

/// The response with these cases, which have the same status. Those of the layers are shared.
fn answer(
    components: &mut Components,
    cases: &[&Case],
    description: Option<String>,
) -> RefOr<Response> {
    for case in cases {
        let example = || {
            let example = ExampleBuilder::new()
                .summary(case.summary.clone())
                .value(Some(document(&case.problem)));
            RefOr::T(example.build())
        };
        let examples = &mut components.examples;
        examples.entry(case.name.clone()).or_insert_with(example);
    }
    match cases {
        [case] if case.name == case.problem.kind().name() => {
            let name = format!("{:?}", case.problem.kind());
            let mut reference = Ref::new(format!("#/components/responses/{name}"));
            reference.description = description.unwrap_or_default();
            let shared = components.responses.entry(name);
            shared.or_insert_with(|| RefOr::T(response(cases)));
            RefOr::Ref(reference)
        }
        _ => {
            let mut own = response(cases);
            own.description = description.unwrap_or(own.description);
            RefOr::T(own)
        }
    }
}

fn response(cases: &[&Case]) -> Response {
    let examples = cases.iter().map(|case| {
        let example = Ref::new(format!("#/components/examples/{}", case.name));
        (case.name.clone(), RefOr::Ref(example))
    });
    let mut content = ContentBuilder::new()
        .schema(Some(Ref::from_schema_name(ProblemDocument::name())))
        .build();
    content.examples = examples.collect();
    let description = match cases {
        [case] => case.summary.clone(),
        _ => cases
            .first()
            .map(|case| case.problem.document(None).title)
            .unwrap_or_default(),
    };
    let mut response = ResponseBuilder::new()
        .description(description)
        .content(CONTENT_TYPE, content)
        .build();
    headers::add(&mut response, headers::REQUEST_ID);
    for case in cases {
        match case.problem.kind() {
            ProblemType::Unauthorized => headers::add(&mut response, headers::WWW_AUTHENTICATE),
            ProblemType::RequestInProgress
            | ProblemType::TooManyRequests
            | ProblemType::Unavailable => headers::add(&mut response, headers::RETRY_AFTER),
            _ => {}
        }
    }
    response
}

fn document(problem: &Problem) -> Value {
    let document = problem.document(Some("42750260-e569-4dc2-bbf9-0bb6538c13b4"));
    serde_json::to_value(document).unwrap_or_default()
}
