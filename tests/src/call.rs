//! A call of the API, and its response.

use std::{collections::BTreeMap, fmt::Write as _};

use reqwest::{
    Body, Client, Method, RequestBuilder,
    header::{CONTENT_TYPE, HeaderMap},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use uuid::Uuid;

/// A call that has not been sent yet.
#[must_use = "a call is not sent until its response is requested"]
pub struct Call {
    request: RequestBuilder,
    name: String,
}

impl Call {
    pub(crate) fn new(http: &Client, method: &str, url: &str) -> Self {
        let name = format!("{method} {url}");
        let method = Method::from_bytes(method.as_bytes()).expect("an HTTP method");
        Self {
            request: http.request(method, url),
            name,
        }
    }

    /// Adds a header.
    pub fn header(self, name: &str, value: &str) -> Self {
        Self {
            request: self.request.header(name, value),
            ..self
        }
    }

    /// Adds a JSON body.
    pub fn json(self, body: &impl Serialize) -> Self {
        let body = serde_json::to_vec(body).expect("something that can be JSON");
        self.body("application/json", body)
    }

    /// Adds any body.
    pub fn body(self, content_type: &str, body: impl Into<Body>) -> Self {
        Self {
            request: self.request.header(CONTENT_TYPE, content_type).body(body),
            ..self
        }
    }

    /// Sends the call and returns its response, whatever its status.
    pub async fn answer(self) -> Answer {
        let name = self.name.clone();
        self.attempt().await.unwrap_or_else(|error| {
            let mut reason = error.to_string();
            let mut cause = std::error::Error::source(&error);
            while let Some(next) = cause {
                let _ = write!(reason, ": {next}");
                cause = next.source();
            }
            panic!("{name}: {reason}")
        })
    }

    /// Sends the call, which may stay without a response.
    ///
    /// # Errors
    /// If there was no response, or not a complete one.
    pub async fn attempt(self) -> Result<Answer, reqwest::Error> {
        let response = self.request.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = response.bytes().await?;
        Ok(Answer {
            name: self.name,
            status,
            headers,
            body: body.to_vec(),
        })
    }

    /// Sends the call, and asserts that the response has this status.
    pub async fn answers(self, status: u16) -> Answer {
        let answer = self.answer().await;
        assert!(answer.status == status, "expected {status}: {answer:?}");
        answer
    }
}

/// The response to a call.
pub struct Answer {
    name: String,
    /// The HTTP status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// A header that may occur once.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.get_all(name).into_iter();
        let value = values.next()?;
        assert!(values.next().is_none(), "{name} occurs twice: {self:?}");
        Some(value.to_str().expect("a header that is text"))
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap_or_else(|_| panic!("not UTF-8: {self:?}"))
    }

    /// The body as JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        self.read()
    }

    /// The body as JSON of this type.
    #[must_use]
    pub fn read<T: DeserializeOwned>(&self) -> T {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The body as a problem document, which every error of the API is.
    #[must_use]
    pub fn problem(&self) -> Problem {
        let content_type = self.header("content-type").unwrap_or_default();
        assert_eq!(content_type, "application/problem+json", "{self:?}");
        let problem: Problem = self.read();
        // The gateway's default responses cannot contain a status.
        let may_lack_status = self.header("x-amzn-errortype").is_some();
        let same = problem.status == Some(self.status);
        assert!(
            same || (may_lack_status && problem.status.is_none()),
            "{self:?}"
        );
        assert!(!problem.request_id.is_empty(), "{self:?}");
        problem
    }
}

/// Shows everything about an unexpected response.
impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let body = String::from_utf8_lossy(&self.body);
        let Self {
            name,
            status,
            headers,
            ..
        } = self;
        write!(f, "{name} returned {status} {headers:?}\n{body}")
    }
}

/// A problem document.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Problem {
    /// The type that clients branch on.
    #[serde(rename = "type")]
    pub kind: String,
    /// The type in words.
    pub title: String,
    /// The HTTP status.
    pub status: Option<u16>,
    /// What is wrong with this request.
    pub detail: String,
    /// The errors by field.
    #[serde(default)]
    pub errors: BTreeMap<String, String>,
    /// What is in the way of an appointment.
    #[serde(default)]
    pub conflicts: Vec<Value>,
    /// The patient who is already there.
    pub existing_patient_id: Option<Uuid>,
    /// Why billing refuses a change.
    pub reason: Option<String>,
    /// Identifies the request in the logs.
    pub request_id: String,
}

impl Problem {
    /// The last part of the type.
    #[must_use]
    pub fn name(&self) -> &str {
        self.kind
            .strip_prefix("urn:patient-management:problem:")
            .unwrap_or_else(|| panic!("not one of our types: {}", self.kind))
    }

    /// The error of this field, if there is one.
    #[must_use]
    pub fn error(&self, field: &str) -> Option<&str> {
        self.errors.get(field).map(String::as_str)
    }
}
