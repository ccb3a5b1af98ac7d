//! Which web sites may call the API from a browser (CORS,
//! <https://fetch.spec.whatwg.org/#http-cors-protocol>).

use http::{HeaderMap, HeaderValue, header};

use crate::only_header;

/// The origins whose pages may call the API from a browser, such as `https://clinic.example`. None
/// by default.
///
/// Tokens are sent in a header that scripts set themselves, never in cookies, so credentials are
/// not allowed for any origin.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowedOrigins {
    any: bool,
    origins: Vec<HeaderValue>,
}

impl AllowedOrigins {
    /// Reads `ALLOWED_ORIGINS`: origins separated by commas, or `*` for any. None if it is not set.
    #[must_use]
    pub fn from_env() -> Self {
        Self::parse(&std::env::var("ALLOWED_ORIGINS").unwrap_or_default())
    }

    /// Reads origins separated by commas and ignores those that cannot be header values. People
    /// copy origins from an address bar, but browsers send them in lower case and without a
    /// trailing slash (<https://html.spec.whatwg.org/#ascii-serialisation-of-an-origin>).
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let origins: Vec<String> = text
            .split(',')
            .map(|origin| origin.trim().trim_end_matches('/').to_ascii_lowercase())
            .filter(|origin| !origin.is_empty())
            .collect();
        Self {
            any: origins.iter().any(|origin| origin == "*"),
            origins: origins
                .iter()
                .filter_map(|origin| origin.parse().ok())
                .collect(),
        }
    }

    /// Whether pages of the origin that sent this request may call the API.
    #[must_use]
    pub fn contain(&self, request: &HeaderMap) -> bool {
        origin(request).is_some_and(|origin| self.any || self.origins.contains(origin))
    }

    /// Tells the browser in the response to this request whether the page may read it.
    pub fn allow(&self, request: &HeaderMap, response: &mut HeaderMap) {
        if self.any {
            response.insert(
                header::ACCESS_CONTROL_ALLOW_ORIGIN,
                HeaderValue::from_static("*"),
            );
        } else {
            let vary = HeaderValue::from_static("Origin");
            if !response.get_all(header::VARY).iter().any(|v| v == vary) {
                response.append(header::VARY, vary);
            }
            let Some(origin) = origin(request).filter(|origin| self.origins.contains(origin))
            else {
                return;
            };
            response.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        }
        response.insert(
            header::ACCESS_CONTROL_EXPOSE_HEADERS,
            HeaderValue::from_static(
                "Allow, Content-Disposition, ETag, Location, Retry-After, X-Request-Id, \
                 Idempotency-Replayed",
            ),
        );
    }
}

/// Browsers send exactly one. With two, there is no telling which is the page's.
fn origin(request: &HeaderMap) -> Option<&HeaderValue> {
    only_header(request, "Origin").ok()?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(origins: &str, origin: &'static str) -> Option<HeaderValue> {
        let request = HeaderMap::from_iter([(header::ORIGIN, HeaderValue::from_static(origin))]);
        let mut response = HeaderMap::new();
        AllowedOrigins::parse(origins).allow(&request, &mut response);
        response.remove(header::ACCESS_CONTROL_ALLOW_ORIGIN)
    }

    #[test]
    fn an_origin_is_recognised_however_it_is_configured() {
        for written in [
            "https://Clinic.Example/",
            " HTTPS://clinic.example",
            "https://clinic.example",
        ] {
            assert_eq!(
                allowed(written, "https://clinic.example").unwrap(),
                "https://clinic.example"
            );
        }
    }

    #[test]
    fn a_request_with_two_origins_is_not_allowed() {
        let mut request = HeaderMap::new();
        for origin in ["https://clinic.example", "https://evil.example"] {
            request.append(header::ORIGIN, HeaderValue::from_static(origin));
        }
        let origins = AllowedOrigins::parse("https://clinic.example");
        assert!(!origins.contain(&request));
        let mut response = HeaderMap::new();
        origins.allow(&request, &mut response);
        assert_eq!(response.get(header::ACCESS_CONTROL_ALLOW_ORIGIN), None);
    }

    #[test]
    fn only_listed_origins_are_allowed() {
        let list = "https://clinic.example, http://localhost:3000";
        assert_eq!(
            allowed(list, "http://localhost:3000").unwrap(),
            "http://localhost:3000"
        );
        assert_eq!(allowed(list, "https://evil.example"), None);
        assert_eq!(allowed(list, "https://clinic.example.evil.example"), None);
        assert_eq!(allowed("", "https://clinic.example"), None);
        assert_eq!(allowed("*", "https://evil.example").unwrap(), "*");
    }
}
