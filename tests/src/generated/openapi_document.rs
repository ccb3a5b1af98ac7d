//! The OpenAPI document of the whole system, assembled from what the services document.

mod cases;
mod headers;
mod meanings;
mod numbers;
mod problems;
mod read_only;

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use programs::SERVICES;
use route::{Method, Row};
use utoipa::{
    Modify, OpenApi as _,
    openapi::{
        Components, OpenApi, PathItem, RefOr,
        path::Operation,
        security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
    },
};

use problems::Problems;

const BEARER: &str = "bearer";

/// What does not belong to a single service.
#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Patient Management API",
        description = include_str!("openapi_document.md"),
        contact(name = "The operator of this system at your clinic"),
        license(name = "MIT", identifier = "MIT"),
    ),
    // Relative to the document's own address: correct for every stage, host and base path.
    servers((url = ".")),
    components(schemas(api::ProblemDocument, api::ProblemType)),
    modifiers(&AccessToken)
)]
struct System;

struct AccessToken;

impl Modify for AccessToken {
    fn modify(&self, document: &mut OpenApi) {
        let bearer = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .bearer_format("JWT")
            .description(Some("The `token` that `POST /auth/login` returns"))
            .build();
        document
            .components
            .get_or_insert_default()
            .add_security_scheme(BEARER, SecurityScheme::Http(bearer));
        // The default for operations.
        document.security = Some(vec![SecurityRequirement::new::<_, [_; 0], String>(
            BEARER,
            [],
        )]);
    }
}

/// The document as it is published in `docs/openapi.json`.
///
/// # Errors
/// If it cannot be written as JSON.
pub fn json(document: &OpenApi) -> Result<String> {
    let mut json = document.to_pretty_json()?;
    json.push('\n');
    Ok(json)
}

/// The assembled document.
///
/// # Errors
/// If a handler documents another method or path than its route has, or problems that it does not
/// answer with, or if a source cannot be read.
pub fn document(repository: &Path) -> Result<OpenApi> {
    let mut document = System::openapi();
    let mut problems = Problems::new();
    let mut services: Vec<_> = SERVICES.iter().collect();
    // The page begins with what everybody does first.
    services.sort_by_key(|service| match service.name {
        "auth" => 0,
        "patients" => 1,
        _ => 2,
    });
    for service in services {
        let mut part = (service.document)();
        for row in service.routes {
            let item = part.paths.paths.remove(row.path);
            let mut item = item.with_context(|| format!("{row:?} is not documented"))?;
            let operation = operation(&mut item, row.method);
            let operation = operation.take();
            let operation = operation
                .with_context(|| format!("the documentation of {row:?} has another method"))?;
            if operations(&mut item).next().is_some() {
                part.paths.paths.insert(row.path.to_owned(), item);
            }
            insert(&mut document, &mut problems, row, operation)?;
        }
        ensure!(
            part.paths.paths.is_empty(),
            "{}: documents paths without a route",
            service.name
        );
        document.merge(part);
    }
    problems.must_be_told()?;
    meanings::describe(&mut document, repository)?;
    let components = document.components.get_or_insert_default();
    headers::share(components);
    components.schemas.values_mut().for_each(numbers::plain);
    components
        .schemas
        .values_mut()
        .for_each(read_only::whole_arrays);
    Ok(document)
}

/// The path of a route in the document: OpenAPI has no parameter for the rest of a path.
#[must_use]
pub fn path_of(row: &Row) -> String {
    row.path.replace("+}", "}")
}

/// Whether a route takes a header or parameter with this name.
#[must_use]
pub fn takes(document: &OpenApi, row: &Row, name: &str) -> bool {
    let item = document.paths.paths.get(&path_of(row));
    let operation = item.and_then(|item| match row.method {
        Method::Get => item.get.as_ref(),
        Method::Post => item.post.as_ref(),
        Method::Put => item.put.as_ref(),
        Method::Patch => item.patch.as_ref(),
        Method::Delete => item.delete.as_ref(),
    });
    operation.is_some_and(|operation| has_parameter(operation, name))
}

fn insert(
    document: &mut OpenApi,
    problems: &mut Problems,
    row: &Row,
    mut described: Operation,
) -> Result<()> {
    complete(
        &mut described,
        document.components.get_or_insert_default(),
        problems,
        row,
    )?;
    let item = document.paths.paths.entry(path_of(row)).or_default();
    *operation(item, row.method) = Some(described);
    Ok(())
}

const fn operation(item: &mut PathItem, method: Method) -> &mut Option<Operation> {
    match method {
        Method::Get => &mut item.get,
        Method::Post => &mut item.post,
        Method::Put => &mut item.put,
        Method::Patch => &mut item.patch,
        Method::Delete => &mut item.delete,
    }
}

fn operations(path: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [
        &mut path.get,
        &mut path.put,
        &mut path.post,
        &mut path.delete,
        &mut path.patch,
    ]
    .into_iter()
    .flatten()
}

fn has_parameter(operation: &Operation, name: &str) -> bool {
    let mut parameters = operation.parameters.iter().flatten();
    parameters.any(|parameter| matches!(parameter, RefOr::T(parameter) if parameter.name == name))
}

/// `createPatient`, if the handler is called `create_patient`.
fn camel_case(name: &str) -> String {
    let mut words = name.split('_');
    let mut camel = words.next().unwrap_or_default().to_owned();
    for word in words {
        let (first, rest) = word.split_at(word.len().min(1));
        camel.push_str(&first.to_uppercase());
        camel.push_str(rest);
    }
    camel
}

/// Adds what a handler does not document, because its route states it, or because the layers around
/// it cause it.
fn complete(
    operation: &mut Operation,
    components: &mut Components,
    problems: &mut Problems,
    row: &Row,
) -> Result<()> {
    let name = operation.operation_id.as_deref().map(camel_case);
    operation.operation_id = name;
    // The document requires a token, so an operation that does not has to say so. A route that is
    // open at the gateway may read a token itself.
    let asks_for_token = row.permission.is_some() || operation.security.is_some();
    operation.security = (!asks_for_token).then(Vec::new);

    problems.complete(operation, components, row, asks_for_token)?;
    for (status, response) in &mut operation.responses.responses {
        if let RefOr::T(response) = response {
            headers::complete(response, row.once && status.starts_with('2'));
        }
    }
    Ok(())
}
