//! The OpenAPI document of the whole system, put together from what each service says
//! about its routes.

mod headers;
mod numbers;
mod problems;

use utoipa::{
    Modify, OpenApi as _,
    openapi::{
        Components, OpenApi, PathItem, RefOr,
        path::Operation,
        security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
    },
};

const BEARER: &str = "bearer";

/// What no single service says.
#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Patient Management API",
        description = include_str!("openapi_document.md"),
        contact(name = "Whoever runs this system for your clinic"),
        license(name = "MIT", identifier = "MIT"),
    ),
    // Relative to the document's own address: right for every stage, host and base path.
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
            .description(Some("The `token` that `POST /auth/login` answers"))
            .build();
        document
            .components
            .get_or_insert_default()
            .add_security_scheme(BEARER, SecurityScheme::Http(bearer));
        // Where an operation says nothing else.
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
    let components = document.components.get_or_insert_default();
    for (path, item) in &mut document.paths.paths {
        let needs_permission = identity::ROUTES.iter().any(|route| route.path == path);
        for operation in operations(item) {
            complete(operation, components, needs_permission);
        }
    }
    headers::share(components);
    components.schemas.values_mut().for_each(numbers::plain);
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

/// What a handler does not say, because it comes about around it.
fn complete(operation: &mut Operation, components: &mut Components, needs_permission: bool) {
    // The document asks for a token, and an operation that does not says so.
    let asks_for_token = operation.security.is_some();
    operation.security = (!asks_for_token).then(Vec::new);

    problems::complete(operation, components, asks_for_token, needs_permission);
    let mut parameters = operation.parameters.iter().flatten();
    let is_repeatable = parameters.any(
        |parameter| matches!(parameter, RefOr::T(parameter) if parameter.name == "Idempotency-Key"),
    );
    for response in operation.responses.responses.values_mut() {
        if let RefOr::T(response) = response {
            headers::complete(response, is_repeatable);
        }
    }
}
