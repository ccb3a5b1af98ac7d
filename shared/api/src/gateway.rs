//! What API Gateway knows about a request besides the request itself.

use std::borrow::Cow;

use http::{Extensions, Request, Uri};
use lambda_http::{
    RequestExt as _, aws_lambda_events::apigw::ApiGatewayProxyRequestContext,
    request::RequestContext,
};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

/// API Gateway's context of the request; `None` if it did not come through API Gateway.
#[must_use]
pub fn request_context(extensions: &Extensions) -> Option<&ApiGatewayProxyRequestContext> {
    match extensions.get::<RequestContext>() {
        Some(RequestContext::ApiGatewayV1(context)) => Some(context),
        _ => None,
    }
}

/// The path as the client wrote it. Behind a custom domain it may begin with a base path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AskedPath(pub String);

/// Characters that must be escaped in a path segment. The percent sign is not among them: it may be
/// the start of a character that is already escaped.
const NOT_IN_A_SEGMENT: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'/')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// The request with the path of the route that the gateway matched, without a prefix (a custom
/// domain's base path) or a trailing slash. The requested path is kept as [`AskedPath`].
pub(crate) fn as_matched<B>(mut request: Request<B>) -> Request<B> {
    let asked = request.uri().path().to_owned();
    let path = matched_path(&request).unwrap_or_else(|| asked.clone());
    let path = match path.trim_end_matches('/') {
        "" => "/",
        path => path,
    };
    if path != asked
        && let Some(uri) = with_path(request.uri(), path)
    {
        *request.uri_mut() = uri;
    }
    request.extensions_mut().insert(AskedPath(asked));
    request
}

/// The path of the gateway's route, with the parameters filled in.
fn matched_path<B>(request: &Request<B>) -> Option<String> {
    let route = request_context(request.extensions())?
        .resource_path
        .as_deref()?;
    let values = request.path_parameters_ref();
    let segments = route.split('/').map(|segment| {
        let Some(name) = segment
            .strip_prefix('{')
            .and_then(|name| name.strip_suffix('}'))
        else {
            return Some(Cow::from(segment));
        };
        let value = |name| values.and_then(|values| values.first(name));
        match name.strip_suffix('+') {
            Some(name) => {
                let encoded = value(name)?.split('/').map(encode).collect::<Vec<_>>();
                Some(encoded.join("/").into())
            }
            None => value(name).map(|value| encode(value).into()),
        }
    });
    Some(segments.collect::<Option<Vec<_>>>()?.join("/"))
}

fn encode(value: &str) -> String {
    utf8_percent_encode(value, NOT_IN_A_SEGMENT).to_string()
}

fn with_path(uri: &Uri, path: &str) -> Option<Uri> {
    let mut parts = uri.clone().into_parts();
    let path_and_query = match uri.query() {
        Some(query) => format!("{path}?{query}").parse(),
        None => path.parse(),
    };
    parts.path_and_query = Some(path_and_query.ok()?);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    /// The path that the router sees for a request to `asked` that the gateway has matched with
    /// this route and these parameters.
    fn seen(asked: &str, route: Option<&str>, values: &[(&str, &str)]) -> String {
        let mut request = Request::get(asked).body(()).unwrap();
        if let Some(route) = route {
            let mut context = ApiGatewayProxyRequestContext::default();
            context.resource_path = Some(route.to_owned());
            let values: HashMap<String, String> = values
                .iter()
                .map(|&(name, value)| (name.to_owned(), value.to_owned()))
                .collect();
            request = request
                .with_path_parameters(values)
                .with_request_context(RequestContext::ApiGatewayV1(context));
        }
        let request = as_matched(request);
        let asked_path = request.extensions().get::<AskedPath>().unwrap();
        assert_eq!(asked_path.0, asked.split('?').next().unwrap());
        request.uri().to_string()
    }

    #[test]
    fn the_path_is_that_of_the_route_that_the_gateway_matched() {
        let patient = Some("/api/patients/{id}");
        for (asked, route, values, path) in [
            (
                "/api/patients",
                Some("/api/patients"),
                &[][..],
                "/api/patients",
            ),
            (
                "/clinic/v2/api/patients",
                Some("/api/patients"),
                &[],
                "/api/patients",
            ),
            (
                "/clinic/api/patients/?limit=1",
                Some("/api/patients"),
                &[],
                "/api/patients?limit=1",
            ),
            (
                "/v1/api/patients/7",
                patient,
                &[("id", "7")],
                "/api/patients/7",
            ),
            (
                "/x/docs/a/b.js",
                Some("/docs/{proxy+}"),
                &[("proxy", "a/b.js")],
                "/docs/a/b.js",
            ),
            ("/clinic/", Some("/"), &[], "/"),
        ] {
            assert_eq!(seen(asked, route, values), path, "{asked}");
        }
    }

    #[test]
    fn a_path_parameter_stays_within_its_segment() {
        for (value, path) in [
            ("..%2Fpage.css", "/api/patients/..%2Fpage.css"),
            ("../page.css", "/api/patients/..%2Fpage.css"),
            ("a b?c#d", "/api/patients/a%20b%3Fc%23d"),
            ("Ø", "/api/patients/%C3%98"),
        ] {
            let seen = seen("/x", Some("/api/patients/{id}"), &[("id", value)]);
            assert_eq!(seen, path, "{value}");
        }
    }

    #[test]
    fn without_a_gateway_the_requested_path_counts() {
        assert_eq!(seen("/health", None, &[]), "/health");
        assert_eq!(seen("/health/?a=b", None, &[]), "/health?a=b");
        assert_eq!(seen("/", None, &[]), "/");
        // No gateway sends a parameter without a value.
        let missing = seen("/api/patients/7", Some("/api/patients/{id}"), &[]);
        assert_eq!(missing, "/api/patients/7");
    }
}
