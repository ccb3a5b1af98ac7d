//! The API as an OpenAPI document, for people's tools and for `/docs`.
//!
//! The document is made from the handlers of all services when the code changes, not
//! when somebody asks for it: `make generate` writes it, and a
//! test holds it against the code and the template. The committed one has a server that is
//! relative to the document's own address. Collections and generated clients forget that
//! address, so who is served the document is told the whole one.

use std::borrow::Cow;

use api::request_context;
use api::{
    State,
    layers::{Open, Repeatable, Unrecorded},
};
use axum::{Router, extract::Request, response::Response};
use lambda_http::aws_lambda_events::apigw::ApiGatewayProxyRequestContext;
use route::Route;

use crate::static_file::{IfNoneMatch, StaticFile};
use store::FromEnvironment;

/// The document as it is committed.
pub(crate) const DOCUMENT: &str = include_str!("../../../docs/openapi.json");

const FILE: StaticFile = StaticFile {
    content_type: "application/json",
    cache_control: "no-cache",
    content: DOCUMENT,
};

/// Its server.
const RELATIVE: &str = r#""url": ".""#;

/// How the address of an API is put together: with `{host}` for the domain that the gateway was
/// called by, and `{api}` for the API's id.
#[derive(Debug, Clone)]
pub struct AddressFormat(String);

impl FromEnvironment for AddressFormat {
    fn from_environment(_: &'static str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Self::from_env())
    }
}

impl AddressFormat {
    /// Reads `API_ADDRESS`. Where it is not set each API has a domain, as on AWS.
    #[must_use]
    pub fn from_env() -> Self {
        Self::new(&std::env::var("API_ADDRESS").unwrap_or_else(|_| "https://{host}".to_owned()))
    }

    /// This format.
    #[must_use]
    pub fn new(format: &str) -> Self {
        Self(format.to_owned())
    }

    /// The address of the API, with its stage or the base path that a custom domain has for it.
    ///
    /// It is what the gateway has matched, and no header's: nobody else can have it say where
    /// clients send their passwords.
    fn address(&self, context: &ApiGatewayProxyRequestContext) -> Option<String> {
        let path = context.path.as_deref()?.trim_end_matches('/');
        let base = path.strip_suffix(context.resource_path.as_deref()?)?;
        let host = context.domain_name.as_deref()?;
        let api = context.apiid.as_deref()?;
        let plain = |c: char| c.is_ascii_alphanumeric() || "./:-_".contains(c);
        if host.is_empty() || ![host, api, base].iter().all(|part| part.chars().all(plain)) {
            return None;
        }
        let address = self.0.replace("{host}", host).replace("{api}", api);
        Some(format!("{address}{base}"))
    }
}

/// The route.
pub const ROUTE: Route<Open, Unrecorded, Repeatable> =
    Route::get("/openapi.json").function("openapi");

/// Serves the route.
pub fn routes(addresses: AddressFormat) -> Router {
    ROUTE.served_by(get_document, addresses)
}

/// The API's description
///
/// This document. It answers with an `ETag`, so that tools fetch it only when it changed.
#[utoipa::path(
    get,
    path = ROUTE.path(),
    tag = "platform",
    operation_id = "getOpenApiDocument",
    params(IfNoneMatch),
    responses(
        (status = 200, description = "OpenAPI 3.1", content_type = "application/json", body = serde_json::Value,
         headers(("ETag" = String, description = "The version"))),
        (status = 304, description = "Unchanged since the version in `If-None-Match`",
         headers(("ETag" = String, description = "The version"))),
    )
)]
pub(crate) async fn get_document(
    State(addresses): State<AddressFormat>,
    request: Request,
) -> Response {
    let context = request_context(request.extensions());
    let address = context.and_then(|context| addresses.address(context));
    let document = address.map_or(Cow::Borrowed(DOCUMENT), |address| {
        let server = format!(r#""url": "{address}""#);
        Cow::Owned(DOCUMENT.replacen(RELATIVE, &server, 1))
    });
    FILE.answer_with(document, request.headers())
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn the_committed_server_is_where_the_document_is() {
        let document: Value = serde_json::from_str(DOCUMENT).unwrap();
        assert_eq!(document["openapi"], "3.1.0");
        assert_eq!(document["servers"], serde_json::json!([{ "url": "." }]));
        assert_eq!(DOCUMENT.matches(RELATIVE).count(), 1);
    }

    #[test]
    fn the_address_is_the_one_that_the_gateway_was_called_by() {
        let aws = AddressFormat::new("https://{host}");
        let local = AddressFormat::new("http://{host}/_aws/execute-api/{api}");
        let address = |format: &AddressFormat, host: &str, path: &str| {
            let mut context = ApiGatewayProxyRequestContext::default();
            context.domain_name = Some(host.to_owned());
            context.apiid = Some("a1b2c3".to_owned());
            context.path = Some(path.to_owned());
            context.resource_path = Some("/openapi.json".to_owned());
            format.address(&context)
        };
        let some = |address: &str| Some(address.to_owned());
        let own = "a1b2c3.execute-api.eu-central-1.amazonaws.com";
        assert_eq!(
            address(&aws, own, "/v1/openapi.json"),
            some("https://a1b2c3.execute-api.eu-central-1.amazonaws.com/v1")
        );
        let custom = "api.clinic.example";
        for (path, base) in [
            ("/openapi.json", "https://api.clinic.example"),
            (
                "/patients/v2/openapi.json",
                "https://api.clinic.example/patients/v2",
            ),
            (
                "/patients/openapi.json/",
                "https://api.clinic.example/patients",
            ),
        ] {
            assert_eq!(address(&aws, custom, path), some(base));
        }
        assert_eq!(
            address(&local, "localhost:4566", "/v1/openapi.json"),
            some("http://localhost:4566/_aws/execute-api/a1b2c3/v1")
        );
        for (host, path) in [
            ("", "/v1/openapi.json"),
            ("evil.example\"", "/v1/openapi.json"),
            ("evil.example@", "/v1/openapi.json"),
            (custom, "/v1/elsewhere"),
            (custom, "/v1\"/openapi.json"),
        ] {
            assert_eq!(address(&aws, host, path), None, "{host}{path}");
        }
    }
}
