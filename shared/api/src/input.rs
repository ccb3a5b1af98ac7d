//! Input from clients: parsed at the edge and bounded in size.

use axum::{
    body::Body,
    extract::{FromRequest, FromRequestParts, Path, RawPathParams, Request},
};
use chrono::NaiveDate;
use http::{HeaderMap, HeaderValue, Uri, header, request::Parts};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde::{Deserialize, de::DeserializeOwned};
use uuid::Uuid;

use crate::{FieldErrors, Id, Problem, ProblemType, json::Json};

/// The largest body that the API accepts, in bytes. No resource comes near it.
pub const MAX_BODY_BYTES: usize = 64 * 1024;

/// A JSON body.
#[derive(Debug)]
pub struct Input<T>(pub T);

impl<T: DeserializeOwned, S: Sync> FromRequest<S> for Input<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Self::Rejection> {
        let input = InputAndQuery::from_request(request, &()).await;
        input.map(|InputAndQuery(input, NoParameters {})| Self(input))
    }
}

/// A JSON body that may be missing: then it is the default.
#[derive(Debug)]
pub struct OptionalInput<T>(pub T);

impl<T: DeserializeOwned + Default, S: Sync> FromRequest<S> for OptionalInput<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Self::Rejection> {
        let (parts, body) = request.into_parts();
        let body = read_body(body).await?;
        if body.is_empty() {
            no_parameters(&parts.uri)?;
            return Ok(Self(T::default()));
        }
        let request = Request::from_parts(parts, Body::from(body));
        let Input(input) = Input::from_request(request, &()).await?;
        Ok(Self(input))
    }
}

/// A JSON body and the query parameters.
#[derive(Debug)]
pub struct InputAndQuery<T, Q>(pub T, pub Q);

impl<T: DeserializeOwned, Q: DeserializeOwned + Send, S: Sync> FromRequest<S>
    for InputAndQuery<T, Q>
{
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Self::Rejection> {
        if !is_json(request.headers()) {
            return Err(Problem::new(
                ProblemType::UnsupportedMediaType,
                "The body must be JSON in UTF-8, with Content-Type: application/json",
            ));
        }
        let query = read_query(request.uri())?;
        let body = read_body(request.into_body()).await?;
        let json = Json::parse(&body)
            .map_err(|error| Problem::new(ProblemType::InvalidInput, error.to_string()))?;
        Ok(Self(json.read("field")?, query))
    }
}

/// Reads a JSON object that did not come as a body, such as a line of a file, as strictly as a body.
///
/// # Errors
/// 400 with what is wrong with it.
pub fn read_json<T: DeserializeOwned>(json: &[u8]) -> Result<T, Problem> {
    let json = Json::parse(json)
        .map_err(|error| Problem::new(ProblemType::InvalidInput, error.to_string()))?;
    json.read("field")
}

/// Whether the headers say so: exactly once, and with no parameter other than the `charset` that
/// JSON has anyway (RFC 8259, sections 8.1 and 11). Formats based on JSON do not count.
fn is_json(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(Ok(value)), None) = (values.next().map(HeaderValue::to_str), values.next()) else {
        return false;
    };
    let mut parts = value.split(';').map(str::trim);
    let json = parts
        .next()
        .is_some_and(|essence| essence.eq_ignore_ascii_case("application/json"));
    json && parts.all(|parameter| {
        let parameter = parameter.to_ascii_lowercase();
        matches!(&*parameter, "" | "charset=utf-8" | "charset=\"utf-8\"")
    })
}

/// The complete body.
///
/// # Errors
/// 413 if it is larger than [`MAX_BODY_BYTES`], 400 if it does not arrive completely.
pub async fn read_body(body: Body) -> Result<bytes::Bytes, Problem> {
    match Limited::new(body, MAX_BODY_BYTES).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Problem::new(
            ProblemType::BodyTooLarge,
            "The body must not be larger than 64 KiB",
        )),
        Err(error) => Err(Problem::new(
            ProblemType::InvalidInput,
            "The body did not arrive completely",
        )
        .caused_by(error)),
    }
}

/// The query parameters.
#[derive(Debug)]
pub struct QueryInput<T>(pub T);

impl<T: DeserializeOwned, S: Sync> FromRequestParts<S> for QueryInput<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        read_query(&parts.uri).map(Self)
    }
}

fn read_query<T: DeserializeOwned>(uri: &Uri) -> Result<T, Problem> {
    let parameters = parameters(uri)
        .map(|(name, value)| (name.into_owned(), Json::Text(value.into_owned())))
        .collect();
    Json::Object(parameters).read("parameter")
}

fn parameters(uri: &Uri) -> form_urlencoded::Parse<'_> {
    form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes())
}

/// The id in the query parameter of this name, read as the route itself reads it.
#[must_use]
pub fn id_in_query(uri: &Uri, name: &str) -> Option<Uuid> {
    let (_, value) = parameters(uri).find(|(parameter, _)| parameter == name)?;
    value.parse().ok().map(|Id(id)| id)
}

/// Rejects query parameters on routes that take none: those with a body, and those of a single
/// resource.
fn no_parameters(uri: &Uri) -> Result<(), Problem> {
    read_query(uri).map(|NoParameters {}| ())
}

#[derive(Deserialize)]
struct NoParameters {}

/// An id in the path.
#[derive(Debug, Clone, Copy)]
pub struct PathId(pub Uuid);

impl<S: Send + Sync> FromRequestParts<S> for PathId {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        no_parameters(&parts.uri)?;
        let text = Path::<String>::from_request_parts(parts, state).await.ok();
        let id = text.and_then(|Path(text)| text.parse().ok());
        id.map(|Id(id)| Self(id))
            .ok_or_else(|| Problem::invalid_field("id", "The id must be a UUID"))
    }
}

/// The parameters in the path, where there are several: a struct with a field for each. Takes no
/// query parameters.
#[derive(Debug, Clone, Copy)]
pub struct PathInput<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for PathInput<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        no_parameters(&parts.uri)?;
        let parameters = RawPathParams::from_request_parts(parts, state)
            .await
            .map_err(|_| Problem::new(ProblemType::InvalidInput, "The path must be UTF-8"))?;
        let parameters = parameters
            .iter()
            .map(|(name, value)| (name.to_owned(), Json::Text(value.to_owned())))
            .collect();
        Json::Object(parameters).read("parameter").map(Self)
    }
}

/// An id in the path, and the query parameters.
#[derive(Debug)]
pub struct PathIdAndQuery<T>(pub Uuid, pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for PathIdAndQuery<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        let text = Path::<String>::from_request_parts(parts, state).await.ok();
        let query = read_query(&parts.uri)?;
        let id = text.and_then(|Path(text)| text.parse().ok());
        id.map(|Id(id)| Self(id, query))
            .ok_or_else(|| Problem::invalid_field("id", "The id must be a UUID"))
    }
}

/// An id and a date in the path: `{id}` and `{date}`.
#[derive(Debug, Clone, Copy)]
pub struct PathIdAndDay(pub Uuid, pub NaiveDate);

#[derive(Deserialize)]
struct IdAndDay {
    id: Id,
    date: String,
}

impl<S: Send + Sync> FromRequestParts<S> for PathIdAndDay {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        let path = PathInput::from_request_parts(parts, state).await;
        let PathInput(IdAndDay { id: Id(id), date }) = path?;
        let day = crate::day(&date);
        day.map(|day| Self(id, day))
            .map_err(|error| Problem::invalid_field("date", error.to_string()))
    }
}

/// Collects what is wrong with the fields of an input, so that a client learns of all of it at
/// once.
#[derive(Debug, Default)]
pub struct InputErrors(FieldErrors);

impl InputErrors {
    /// The parsed field, or `None` after noting what is wrong with it.
    pub fn field<T, E: std::fmt::Display>(
        &mut self,
        name: &str,
        parsed: Result<T, E>,
    ) -> Option<T> {
        match parsed {
            Ok(value) => Some(value),
            Err(error) => {
                self.0.insert(name.to_owned(), error.to_string());
                None
            }
        }
    }

    /// Whether nothing was wrong so far.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The problem that lists everything collected.
    #[must_use]
    pub fn into_problem(self) -> Problem {
        Problem::invalid_input(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    struct Named {
        #[expect(dead_code, reason = "deserialized but never read")]
        name: Option<String>,
    }

    async fn input(content_type: &str, body: impl Into<Body>) -> Result<Input<Named>, Problem> {
        let request = Request::builder()
            .header(header::CONTENT_TYPE, content_type)
            .body(body.into())
            .unwrap();
        Input::from_request(request, &()).await
    }

    async fn refusal(content_type: &str, body: impl Into<Body>) -> String {
        let problem = input(content_type, body).await.unwrap_err();
        let response = problem.to_response(None);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        String::from_utf8(body.to_vec()).unwrap()
    }

    #[tokio::test]
    async fn a_field_of_the_wrong_type_is_named_without_its_value() {
        let refusal = refusal("application/json", r#"{"name": 424242}"#).await;
        assert!(
            refusal.contains(r#""name":"Must be a string""#),
            "{refusal}"
        );
        assert!(!refusal.contains("424242"), "{refusal}");
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "UPPERCASE")]
    enum Colour {
        Red,
        Green,
    }

    #[derive(Debug, Deserialize)]
    struct Place {
        id: Id,
        colour: Colour,
        name: String,
    }

    async fn place(uri: &str) -> Result<String, Problem> {
        let handler = async |PathInput(Place { id, colour, name }): PathInput<Place>| {
            format!("{} {colour:?} {name}", id.0.as_u128())
        };
        let routes =
            axum::Router::new().route("/{id}/{colour}/{name}", axum::routing::get(handler));
        let request = Request::get(uri).body(Body::empty()).unwrap();
        let response = tower::ServiceExt::oneshot(routes, request).await.unwrap();
        if let Some(problem) = response.extensions().get::<Problem>() {
            return Err(problem.clone());
        }
        let body = response.into_body().collect().await.unwrap().to_bytes();
        Ok(String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn a_path_may_have_several_parameters() {
        let id = Uuid::from_u128(7);
        let read = place(&format!("/{id}/GREEN/Zo%C3%AB%2FM")).await;
        assert_eq!(read.unwrap(), "7 Green Zoë/M");
        assert_eq!(place(&format!("/{id}/RED/a")).await.unwrap(), "7 Red a");
    }

    #[tokio::test]
    async fn an_invalid_parameter_of_several_is_named() {
        let id = Uuid::from_u128(7);
        for (uri, field, message) in [
            (
                format!("/{id}/BLUE/a"),
                "colour",
                "Must be one of RED, GREEN",
            ),
            (
                "/7/RED/a".to_owned(),
                "id",
                "Must be a UUID such as 0199f7a2-6c1e-7c35-9b6c-0d2a54f3c1aa",
            ),
            (
                format!("/{id}/RED/a?b=1"),
                "b",
                "There is no such parameter",
            ),
        ] {
            let problem = place(&uri).await.unwrap_err();
            assert_eq!(
                problem.errors().get(field).map(String::as_str),
                Some(message),
                "{uri}"
            );
        }
        assert!(place(&format!("/{id}/RED/%ff")).await.is_err());
    }

    #[tokio::test]
    async fn a_body_that_is_not_json_is_rejected() {
        for body in ["", "[1", "\u{1}", "nope", r#"{"name":"a"} more"#] {
            let refusal = refusal("application/json", body).await;
            assert!(refusal.contains("invalid-input"), "{body}: {refusal}");
        }
        let invalid_utf8 = refusal("application/json", vec![b'{', b'"', 0xff, b'"']).await;
        assert!(invalid_utf8.contains("invalid-input"), "{invalid_utf8}");
        assert!(
            refusal("text/plain", "{}")
                .await
                .contains("unsupported-media-type")
        );
    }

    #[tokio::test]
    async fn bodies_larger_than_64_kib_are_rejected() {
        let huge = format!(r#"{{"name":"{}"}}"#, "x".repeat(MAX_BODY_BYTES));
        assert!(
            refusal("application/json", huge)
                .await
                .contains("body-too-large")
        );
    }

    #[tokio::test]
    async fn json_with_a_charset_is_accepted() {
        assert!(input("application/json; charset=utf-8", "{}").await.is_ok());
    }
}
