//! The problems that clients can get: each described once, with its own example, and referenced by
//! every operation that can return it.

use api::{Conflict, ConflictReason, Problem, ProblemDocument, ProblemType};
use chrono::{DateTime, TimeDelta};
use route::Row;
use serde_json::Value;
use utoipa::{
    ToSchema as _,
    openapi::{
        Components, Content, ContentBuilder, Ref, RefOr, Response, ResponseBuilder,
        example::ExampleBuilder, path::Operation,
    },
};

use uuid::Uuid;

use super::{has_parameter, headers};

const CONTENT_TYPE: &str = "application/problem+json";

/// The tag of operations without input or dependencies.
const PLATFORM: &str = "platform";

/// The problems of an operation: those that its handler documents, in the handler's words, and
/// those that the layers around every handler cause. Adds them to the shared components.
pub(super) fn complete(
    operation: &mut Operation,
    components: &mut Components,
    row: &Row,
    asks_for_token: bool,
) {
    let is_conditional = has_parameter(operation, "If-Match");
    let has_body = operation.request_body.is_some();
    let has_input = has_body || operation.parameters.is_some();
    let of_platform = operation.tags.iter().flatten().any(|tag| tag == PLATFORM);
    let around = [
        (has_input && !of_platform, ProblemType::InvalidInput),
        (asks_for_token, ProblemType::Unauthorized),
        (row.permission.is_some(), ProblemType::Forbidden),
        (row.once, ProblemType::RequestInProgress),
        (row.once, ProblemType::IdempotencyKeyReused),
        (is_conditional, ProblemType::PreconditionFailed),
        (is_conditional, ProblemType::PreconditionRequired),
        (has_body, ProblemType::BodyTooLarge),
        (has_body, ProblemType::UnsupportedMediaType),
        (true, ProblemType::TooManyRequests),
        (!of_platform, ProblemType::Unavailable),
    ];

    let responses = &mut operation.responses.responses;
    for (status, response) in &mut *responses {
        let RefOr::T(described) = &*response else {
            continue;
        };
        let kind = with_status(status).next();
        if let Some(kind) = kind
            && described.content.contains_key(CONTENT_TYPE)
        {
            let mut reference = share(components, kind);
            reference.description.clone_from(&described.description);
            *response = RefOr::Ref(reference);
        }
    }
    for (_, kind) in around.into_iter().filter(|(applies, _)| *applies) {
        responses
            .entry(kind.status().as_str().to_owned())
            .or_insert_with(|| RefOr::Ref(share(components, kind)));
    }
    let mut other = share(components, ProblemType::Internal);
    "Any other problem".clone_into(&mut other.description);
    responses.insert("default".to_owned(), RefOr::Ref(other));
}

fn with_status(status: &str) -> impl Iterator<Item = ProblemType> {
    let kinds = ProblemType::ALL.iter().copied();
    kinds.filter(move |kind| kind.status().as_str() == status)
}

/// The shared response for the status of this kind of problem.
fn share(components: &mut Components, kind: ProblemType) -> Ref {
    let name = format!("{kind:?}");
    let reference = Ref::new(format!("#/components/responses/{name}"));
    let shared = components.responses.entry(name);
    shared.or_insert_with(|| RefOr::T(response(kind)));
    reference
}

fn response(kind: ProblemType) -> Response {
    let kinds: Vec<_> = with_status(kind.status().as_str()).collect();
    let content =
        ContentBuilder::new().schema(Some(Ref::from_schema_name(ProblemDocument::name())));
    let content: Content = match kinds[..] {
        [kind] => content.example(Some(document(kind))).build(),
        _ => content
            .examples_from_iter(kinds.iter().map(|kind| {
                let example = ExampleBuilder::new()
                    .summary(example(*kind).0)
                    .value(Some(document(*kind)));
                (kind.name(), example.build())
            }))
            .build(),
    };
    let mut response = ResponseBuilder::new()
        .description(example(kind).0)
        .content(CONTENT_TYPE, content)
        .build();
    headers::add(&mut response, headers::REQUEST_ID);
    for kind in kinds {
        match kind {
            ProblemType::Unauthorized => headers::add(&mut response, headers::WWW_AUTHENTICATE),
            ProblemType::RequestInProgress
            | ProblemType::TooManyRequests
            | ProblemType::Unavailable => headers::add(&mut response, headers::RETRY_AFTER),
            _ => {}
        }
    }
    response
}

fn document(kind: ProblemType) -> Value {
    let (_, problem) = example(kind);
    let document = problem.document(Some("0199f7a2-6c1e-7c35-9b6c-0d2a54f3c1aa"));
    serde_json::to_value(document).unwrap_or_default()
}

/// A description of the problem, and an example.
fn example(kind: ProblemType) -> (&'static str, Problem) {
    let plain = |detail: &str| Problem::new(kind, detail);
    match kind {
        ProblemType::InvalidInput => (
            "The input is invalid",
            Problem::invalid_field("name", "Name is required"),
        ),
        ProblemType::Unauthorized => ("There is no valid access token", Problem::unauthorized()),
        ProblemType::Forbidden => ("Your role does not allow this", Problem::forbidden()),
        ProblemType::NotFound => (
            "There is no such resource",
            Problem::not_found("Patient not found"),
        ),
        ProblemType::Deleted => ("The resource was deleted", plain("Patient not found")),
        ProblemType::MethodNotAllowed => (
            "The route does not have this method",
            plain("The route does not have this method"),
        ),
        ProblemType::Conflict => (
            "The change conflicts with existing data",
            Problem::conflict("email", "Email address already exists"),
        ),
        ProblemType::RequestInProgress => (
            "The same request is being processed",
            plain("The same request is being processed").retry_after(1),
        ),
        ProblemType::SlotTaken => ("The slot is not free", Problem::slot_taken(vec![taken()])),
        ProblemType::HoldExpired => (
            "The hold has expired",
            plain("The hold has expired: the slot may be somebody else's"),
        ),
        ProblemType::NonexistentLocalTime => (
            "The clocks skip this time",
            plain(
                "There is no 2027-03-14T02:30 in America/New_York: the clocks are put forward past it",
            ),
        ),
        ProblemType::AmbiguousLocalTime => (
            "The clocks show this time twice",
            plain(
                "The clocks show 2026-11-01 01:30:00 twice in America/New_York: at 2026-11-01T01:30:00-04:00 and at 2026-11-01T01:30:00-05:00",
            ),
        ),
        ProblemType::NotBookable => (
            "The service is not offered at such a time",
            plain("It has to be booked 120 minutes ahead"),
        ),
        ProblemType::PreconditionFailed => (
            "Somebody changed it meanwhile",
            Problem::precondition_failed(),
        ),
        ProblemType::PreconditionRequired => (
            "The change must name the version that it is based on",
            Problem::precondition_required(),
        ),
        ProblemType::BodyTooLarge => (
            "The body is larger than 64 KiB",
            plain("The body must not be larger than 64 KiB"),
        ),
        ProblemType::UnsupportedMediaType => (
            "The body is not JSON",
            plain("The body must be JSON in UTF-8, with Content-Type: application/json"),
        ),
        ProblemType::IdempotencyKeyReused => (
            "The Idempotency-Key belongs to another request",
            plain("The Idempotency-Key was used for another request"),
        ),
        ProblemType::TooManyRequests => (
            "Too many requests: try again after the time in Retry-After",
            Problem::too_many_requests(8),
        ),
        ProblemType::Unavailable => (
            "The system cannot answer right now: try again after the time in Retry-After",
            Problem::unavailable(1, "an example"),
        ),
        ProblemType::Internal => ("An error on our side", Problem::internal("an example")),
    }
}

/// An appointment in the way of another.
fn taken() -> Conflict {
    let id = |last: u128| Uuid::from_u128(0x0199_f7a2_6c1e_7c35_9b6c_0d2a_54f3_c100 + last);
    let at = |minutes: i64| DateTime::UNIX_EPOCH + TimeDelta::minutes(30_102_480 + minutes);
    Conflict {
        reason: ConflictReason::Taken,
        resource_id: Some(id(0xae)),
        appointment_id: Some(id(0xac)),
        start: at(0),
        end: at(30),
    }
}
