//! The OpenAPI document of the whole system, put together from what each service says
//! about its routes.

use utoipa::{
    Modify, OpenApi as _, ToSchema,
    openapi::{
        Content, ContentBuilder, OpenApi, PathItem, Ref, RefOr, Response, ResponseBuilder,
        path::Operation,
        security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};

const PROBLEM: &str = "application/problem+json";

/// What no single service says.
#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Patient Management API",
        description = include_str!("openapi_document.md"),
        license(name = "MIT", identifier = "MIT"),
    ),
    // Relative to the document's own address: right for every stage, host and base path.
    servers((url = ".")),
    components(schemas(api::ProblemDocument)),
    modifiers(&AccessToken)
)]
struct System;

struct AccessToken;

impl Modify for AccessToken {
    fn modify(&self, document: &mut OpenApi) {
        let bearer = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .bearer_format("JWT")
            .description(Some("The `token` that `POST /auth/login` answers"))
            .build();
        document
            .components
            .get_or_insert_default()
            .add_security_scheme("bearer", SecurityScheme::Http(bearer));
    }
}

/// The document as it is published in `docs/openapi.json`.
///
/// # Errors
/// If it cannot be written as JSON.
pub fn json() -> anyhow::Result<String> {
    let mut json = document().to_pretty_json()?;
    json.push('\n');
    Ok(json)
}

fn document() -> OpenApi {
    let mut document = System::openapi();
    for service in [
        auth::Documentation::openapi(),
        patients::Documentation::openapi(),
        billing::Documentation::openapi(),
        analytics::Documentation::openapi(),
        notifications::Documentation::openapi(),
        audit::Documentation::openapi(),
        platform::Documentation::openapi(),
    ] {
        document.merge(service);
    }
    for (path, item) in &mut document.paths.paths {
        let needs_permission = identity::ROUTES.iter().any(|route| route.path == path);
        for operation in operations(item) {
            add_problems(operation, needs_permission);
        }
    }
    document
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

/// The problems that a handler does not name, because they come about around it: what
/// the authorizer refuses, and everything that nobody foresaw.
fn add_problems(operation: &mut Operation, needs_permission: bool) {
    let mut problem = |status: &str, description: &str| {
        operation
            .responses
            .responses
            .entry(status.to_owned())
            .or_insert_with(|| RefOr::T(problem_response(description)));
    };
    if operation.security.is_some() {
        problem("401", "There is no valid access token");
    }
    if needs_permission {
        problem("403", "Your role does not allow this");
    }
    problem("default", "Any other problem");
}

fn problem_response(description: &str) -> Response {
    let document = Ref::from_schema_name(api::ProblemDocument::name());
    let content: Content = ContentBuilder::new().schema(Some(document)).build();
    ResponseBuilder::new()
        .description(description)
        .content(PROBLEM, content)
        .build()
}
