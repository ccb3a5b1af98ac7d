//! What a client is told when something is wrong: one problem document (RFC 9457) with a stable
//! type, on every route.

use std::{collections::BTreeMap, error::Error, sync::Arc};

use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde::Serialize;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{ObjectBuilder, RefOr, Schema, Type},
};
use uuid::Uuid;

use crate::RefusalReason;

/// What is wrong with which field of the input; the key is the field's name in the API.
pub type FieldErrors = BTreeMap<String, String>;

/// The most conflicts that a client is told of at once.
pub const MOST_CONFLICTS: usize = 100;

/// Something that stands in the way of an appointment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Conflict {
    /// What it is.
    pub reason: ConflictReason,
    /// The resource that is not free; none if it is the patient who is not.
    #[schema(required)]
    pub resource_id: Option<Uuid>,
    /// The appointment that is in the way, if it is one.
    #[schema(required)]
    pub appointment_id: Option<Uuid>,
    /// From when it is in the way.
    pub start: DateTime<Utc>,
    /// Until when it is in the way.
    pub end: DateTime<Utc>,
}

/// Why a slot is not free.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ConflictReason {
    /// Another appointment has the resource, or the last place of a group.
    Taken,
    /// The patient has another appointment.
    PatientBusy,
    /// The resource is absent.
    Absent,
    /// The location is closed.
    Closed,
    /// The resource does not work then.
    OutsideHours,
}

/// Every kind of problem that a client can get. The names are stable: clients may branch on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr, strum::VariantArray)]
#[strum(serialize_all = "kebab-case")]
pub enum ProblemType {
    /// The input is invalid; `errors` says which fields, and why.
    InvalidInput,
    /// No valid access token came with the request.
    Unauthorized,
    /// The caller's role does not allow this.
    Forbidden,
    /// There is no such resource.
    NotFound,
    /// The resource was deleted. Whoever may delete it may restore it.
    Deleted,
    /// The route exists, but not with this method.
    MethodNotAllowed,
    /// The change conflicts with existing data.
    Conflict,
    /// The same request is being processed.
    RequestInProgress,
    /// A slot is not free; `conflicts` says what stands in the way.
    SlotTaken,
    /// A slot was held, and the hold has expired.
    HoldExpired,
    /// The resource was changed since the client read it.
    PreconditionFailed,
    /// The change has to name the version that it applies to.
    PreconditionRequired,
    /// The body is larger than the API accepts.
    BodyTooLarge,
    /// The body is not JSON.
    UnsupportedMediaType,
    /// The `Idempotency-Key` belongs to another request.
    IdempotencyKeyReused,
    /// The clocks of the location are put forward past this time.
    NonexistentLocalTime,
    /// The clocks of the location show this time twice.
    AmbiguousLocalTime,
    /// The service is not offered at times like this.
    NotBookable,
    /// Too many attempts; the response says when the next one may be made.
    TooManyRequests,
    /// The system cannot respond right now; trying again later helps.
    Unavailable,
    /// An error on our side.
    Internal,
}

impl ProblemType {
    /// Every type. Among those with the same status, the default comes first.
    pub const ALL: &[Self] = <Self as strum::VariantArray>::VARIANTS;

    const fn status_and_title(self) -> (StatusCode, &'static str) {
        match self {
            Self::InvalidInput => (StatusCode::BAD_REQUEST, "Invalid input"),
            Self::Unauthorized => (StatusCode::UNAUTHORIZED, "Unauthorized"),
            Self::Forbidden => (StatusCode::FORBIDDEN, "Forbidden"),
            Self::NotFound => (StatusCode::NOT_FOUND, "Not found"),
            Self::Deleted => (StatusCode::NOT_FOUND, "Deleted"),
            Self::MethodNotAllowed => (StatusCode::METHOD_NOT_ALLOWED, "Method not allowed"),
            Self::Conflict => (StatusCode::CONFLICT, "Conflict"),
            Self::RequestInProgress => (StatusCode::CONFLICT, "Request in progress"),
            Self::SlotTaken => (StatusCode::CONFLICT, "Slot taken"),
            Self::HoldExpired => (StatusCode::CONFLICT, "Hold expired"),
            Self::PreconditionFailed => (StatusCode::PRECONDITION_FAILED, "Precondition failed"),
            Self::PreconditionRequired => {
                (StatusCode::PRECONDITION_REQUIRED, "Precondition required")
            }
            Self::BodyTooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "Body too large"),
            Self::UnsupportedMediaType => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, "Unsupported media type")
            }
            Self::IdempotencyKeyReused => {
                (StatusCode::UNPROCESSABLE_ENTITY, "Idempotency key reused")
            }
            Self::NonexistentLocalTime => {
                (StatusCode::UNPROCESSABLE_ENTITY, "Nonexistent local time")
            }
            Self::AmbiguousLocalTime => (StatusCode::UNPROCESSABLE_ENTITY, "Ambiguous local time"),
            Self::NotBookable => (StatusCode::UNPROCESSABLE_ENTITY, "Not bookable"),
            Self::TooManyRequests => (StatusCode::TOO_MANY_REQUESTS, "Too many requests"),
            Self::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "Temporarily unavailable"),
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "Internal error"),
        }
    }

    /// The HTTP status that goes with the type.
    #[must_use]
    pub const fn status(self) -> StatusCode {
        self.status_and_title().0
    }

    /// The stable name, such as `not-found`: the end of the URN.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// The stable identifier, a URN.
    #[must_use]
    pub fn uri(self) -> String {
        format!("urn:patient-management:problem:{}", self.name())
    }
}

/// In the API document: the identifiers by which clients tell problems apart.
impl PartialSchema for ProblemType {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .description(Some(
                "What kind of problem it is. The identifiers are stable.",
            ))
            .enum_values(Some(Self::ALL.iter().copied().map(Self::uri)))
            .into()
    }
}

impl ToSchema for ProblemType {}

/// An error on its way to the client.
///
/// What the client reads and why it happened are kept apart: the [`source`](Self::caused_by) goes
/// to the log, never into the response.
#[derive(Debug, Clone)]
pub struct Problem {
    kind: ProblemType,
    detail: String,
    errors: FieldErrors,
    conflicts: Vec<Conflict>,
    existing_patient: Option<Box<Uuid>>,
    reason: Option<RefusalReason>,
    retry_after_seconds: Option<u32>,
    header: Option<Box<(HeaderName, HeaderValue)>>,
    source: Option<Arc<dyn Error + Send + Sync>>,
}

impl Problem {
    /// A problem of this type, explained to the reader in one sentence.
    pub fn new(kind: ProblemType, detail: impl Into<String>) -> Self {
        Self {
            kind,
            detail: detail.into(),
            errors: FieldErrors::new(),
            conflicts: Vec::new(),
            existing_patient: None,
            reason: None,
            retry_after_seconds: None,
            header: None,
            source: None,
        }
    }

    /// 400, with what is wrong with each field.
    #[must_use]
    pub fn invalid_input(errors: FieldErrors) -> Self {
        let detail = match errors.values().next() {
            Some(only) if errors.len() == 1 => only.clone(),
            _ => "The request has invalid fields".to_owned(),
        };
        Self {
            errors,
            ..Self::new(ProblemType::InvalidInput, detail)
        }
    }

    /// 400 for one field.
    #[must_use]
    pub fn invalid_field(field: &str, message: impl Into<String>) -> Self {
        Self::invalid_input(FieldErrors::from([(field.to_owned(), message.into())]))
    }

    /// 401: the caller has to log in (again).
    #[must_use]
    pub fn unauthorized() -> Self {
        Self::new(
            ProblemType::Unauthorized,
            "A valid access token is required",
        )
    }

    /// 403: logging in again does not help.
    #[must_use]
    pub fn forbidden() -> Self {
        Self::new(
            ProblemType::Forbidden,
            "Your role does not allow this operation",
        )
    }

    /// 404, such as "Patient not found".
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(ProblemType::NotFound, detail)
    }

    /// 405, with the supported methods: a list as in `Allow`.
    #[must_use]
    pub fn method_not_allowed(methods: &str) -> Self {
        Self {
            header: HeaderValue::from_str(methods)
                .ok()
                .map(|methods| Box::new((header::ALLOW, methods))),
            ..Self::new(
                ProblemType::MethodNotAllowed,
                format!("This route supports the methods {methods}"),
            )
        }
    }

    /// 415 for a body with a content coding: nothing here decodes any (RFC 9110, section 15.5.16).
    #[must_use]
    pub fn encoded_body() -> Self {
        Self {
            header: Some(Box::new((
                header::ACCEPT_ENCODING,
                HeaderValue::from_static("identity"),
            ))),
            ..Self::new(
                ProblemType::UnsupportedMediaType,
                "The body must not be compressed: send it without Content-Encoding",
            )
        }
    }

    /// Names the patient with whom a change conflicts. Only for callers who may see them.
    #[must_use]
    pub fn with_existing_patient(mut self, patient: Uuid) -> Self {
        self.existing_patient = Some(Box::new(patient));
        self
    }

    /// Says in one word why billing refuses it.
    #[must_use]
    pub const fn because(mut self, reason: RefusalReason) -> Self {
        self.reason = Some(reason);
        self
    }

    /// 409, with the field that conflicts.
    #[must_use]
    pub fn conflict(field: &str, message: &str) -> Self {
        Self {
            errors: FieldErrors::from([(field.to_owned(), message.to_owned())]),
            ..Self::new(ProblemType::Conflict, message)
        }
    }

    /// 409, with everything that stands in the way of an appointment, up to [`MOST_CONFLICTS`].
    #[must_use]
    pub fn slot_taken(mut conflicts: Vec<Conflict>) -> Self {
        conflicts.truncate(MOST_CONFLICTS);
        Self {
            conflicts,
            ..Self::new(ProblemType::SlotTaken, "The slot is not free")
        }
    }

    /// 412: the entity tag in `If-Match` is not the current one.
    #[must_use]
    pub fn precondition_failed() -> Self {
        Self::new(
            ProblemType::PreconditionFailed,
            "The resource was changed since you read it",
        )
    }

    /// 428: there is no `If-Match`, but the deployment requires one.
    #[must_use]
    pub fn precondition_required() -> Self {
        Self::new(
            ProblemType::PreconditionRequired,
            "A change requires If-Match, with the ETag of the version that you have read, or * for any version",
        )
    }

    /// 429: the next attempt may be made after this many seconds.
    #[must_use]
    pub fn too_many_requests(retry_after_seconds: u32) -> Self {
        Self {
            retry_after_seconds: Some(retry_after_seconds),
            ..Self::new(
                ProblemType::TooManyRequests,
                "There were too many attempts, please try again later",
            )
        }
    }

    /// 503: a dependency is down, slow or saturated. Clients are asked to retry after
    /// `retry_after_seconds`.
    pub fn unavailable(
        retry_after_seconds: u32,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self::new(
            ProblemType::Unavailable,
            "The service cannot answer right now, please try again",
        )
        .retry_after(retry_after_seconds)
        .caused_by(source)
    }

    /// 500: the client learns only the request id.
    pub fn internal(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::new(
            ProblemType::Internal,
            "Something went wrong on our side; the request id helps us to find out what",
        )
        .caused_by(source)
    }

    /// Replaces the detail, for when the message of a single invalid field does not suffice.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = detail.into();
        self
    }

    /// Asks the client to retry after this many seconds.
    #[must_use]
    pub const fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after_seconds = Some(seconds);
        self
    }

    /// Keeps the cause for the log.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(Arc::from(source.into()));
        self
    }

    /// The type of the problem.
    #[must_use]
    pub const fn kind(&self) -> ProblemType {
        self.kind
    }

    /// Whether this field of the input is invalid or conflicts.
    #[must_use]
    pub fn concerns(&self, field: &str) -> bool {
        self.errors.contains_key(field)
    }

    /// What is wrong with which field of the input.
    #[must_use]
    pub const fn errors(&self) -> &FieldErrors {
        &self.errors
    }

    /// What stands in the way of an appointment.
    #[must_use]
    pub fn conflicts(&self) -> &[Conflict] {
        &self.conflicts
    }

    /// The cause, if it is of this type.
    #[must_use]
    pub fn cause<E: Error + 'static>(&self) -> Option<&E> {
        self.source.as_deref()?.downcast_ref()
    }

    /// The cause and its own causes on one line, for the log.
    #[must_use]
    pub fn causes(&self) -> Option<String> {
        let source = self.source.as_deref()?;
        let mut line = source.to_string();
        let mut next = source.source();
        while let Some(cause) = next {
            line.push_str(": ");
            line.push_str(&cause.to_string());
            next = cause.source();
        }
        Some(line)
    }

    /// What the client reads, for the request with this id.
    #[must_use]
    pub fn document(&self, request_id: Option<&str>) -> ProblemDocument {
        let (status, title) = self.kind.status_and_title();
        ProblemDocument {
            kind: self.kind.uri(),
            title: title.to_owned(),
            status: status.as_u16(),
            detail: self.detail.clone(),
            errors: self.errors.clone(),
            conflicts: self.conflicts.clone(),
            existing_patient_id: self.existing_patient.as_deref().copied(),
            reason: self.reason,
            request_id: request_id.map(ToOwned::to_owned),
        }
    }

    /// The response to the request with this id.
    #[must_use]
    pub fn to_response(&self, request_id: Option<&str>) -> Response {
        let document = axum::Json(self.document(request_id));
        let mut response = (self.kind.status(), document).into_response();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if self.kind == ProblemType::Unauthorized {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some((name, value)) = self.header.as_deref() {
            headers.insert(name, value.clone());
        }
        if let Some(seconds) = self.retry_after_seconds {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// Responds with the document, and passes the problem on to the layer that logs it and knows the
/// request id.
impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.to_response(None);
        response.extensions_mut().insert(self);
        response
    }
}

/// What is wrong, as `application/problem+json` (RFC 9457).
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(title = "Problem", example = json!({
    "type": "urn:patient-management:problem:invalid-input",
    "title": "Invalid input",
    "status": 400,
    "detail": "Name is required",
    "errors": { "name": "Name is required" },
    "requestId": "42750260-e569-4dc2-bbf9-0bb6538c13b4"
}))]
pub struct ProblemDocument {
    /// Stable identifier of the kind of problem.
    #[serde(rename = "type")]
    #[schema(value_type = ProblemType)]
    pub kind: String,
    /// The kind of problem in words.
    pub title: String,
    /// The HTTP status. Some of the gateway's own responses lack it.
    #[schema(required = false)]
    pub status: u16,
    /// What is wrong with this request.
    pub detail: String,
    /// What is wrong with which field of the request.
    #[serde(skip_serializing_if = "FieldErrors::is_empty")]
    #[schema(required = false, value_type = BTreeMap<String, String>)]
    pub errors: FieldErrors,
    /// What stands in the way of an appointment.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub conflicts: Vec<Conflict>,
    /// The patient who already has this e-mail address or identifier; missing if the caller may not
    /// see them.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub existing_patient_id: Option<Uuid>,
    /// Why billing refuses a change.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub reason: Option<RefusalReason>,
    /// Identifies this request in the logs; quote it when you ask for help.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub request_id: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cause_is_only_for_the_log() {
        let problem = Problem::internal("password of the database is hunter2");
        assert!(problem.causes().unwrap().contains("hunter2"));
        assert!(!problem.detail.contains("hunter2"));
    }

    #[test]
    fn a_single_invalid_field_is_explained_in_the_detail() {
        let problem = Problem::invalid_field("name", "Name is required");
        assert_eq!(problem.detail, "Name is required");
    }
}
