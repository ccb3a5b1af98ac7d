//! What a client is told when the service has not done what it asked for.

use api::{FieldErrors, Problem, ProblemType, RefusalReason};
use billing_client::{BillingError, Refusal, RefusalKind};

/// When a client may retry while the billing service cannot respond, in seconds.
const RETRY_AFTER: u32 = 2;

/// The problem that stands for this error.
///
/// The words of a refusal are the service's, which wrote them for clients. Its fields are named as
/// in the API.
pub(crate) fn problem(error: BillingError) -> Problem {
    match error {
        BillingError::Unavailable(_) => Problem::unavailable(RETRY_AFTER, error),
        BillingError::Refused(refusal) => refused(*refusal),
        _ => Problem::internal(error),
    }
}

fn refused(refusal: Refusal) -> Problem {
    let detail = refusal.detail.clone();
    let fields = FieldErrors::from_iter(refusal.fields.clone());
    let problem = match refusal.kind {
        RefusalKind::Invalid if !fields.is_empty() => {
            return Problem::invalid_input(fields).caused_by(refusal);
        }
        RefusalKind::Invalid if detail.is_some() => {
            Problem::new(ProblemType::InvalidInput, "The request is invalid")
        }
        // We have asked for something that the service cannot read.
        RefusalKind::Invalid => return Problem::internal(refusal),
        RefusalKind::NotFound => Problem::not_found("There is no such thing"),
        RefusalKind::Forbidden => Problem::forbidden(),
        RefusalKind::Stale => return Problem::precondition_failed().caused_by(refusal),
        RefusalKind::RequestIdReused => {
            return Problem::new(
                ProblemType::IdempotencyKeyReused,
                "The Idempotency-Key belongs to another request; a new request needs a new key",
            );
        }
        RefusalKind::Conflict => conflict(&refusal, &fields),
    };
    let problem = problem.caused_by(refusal);
    match detail {
        Some(detail) => problem.with_detail(sentence(&detail)),
        None => problem,
    }
}

fn conflict(refusal: &Refusal, fields: &FieldErrors) -> Problem {
    let problem = match fields.first_key_value() {
        Some((field, message)) => Problem::conflict(field, message),
        None => Problem::new(
            ProblemType::Conflict,
            "Things are not such that it can be done",
        ),
    };
    let reason = refusal.reason.as_deref();
    match reason.and_then(|reason| reason.parse::<RefusalReason>().ok()) {
        Some(reason) => problem.because(reason),
        None => problem,
    }
}

/// A status begins with a small letter, as it is a part of a line in a log.
fn sentence(words: &str) -> String {
    let mut characters = words.chars();
    let first = characters.next().into_iter().flat_map(char::to_uppercase);
    first.chain(characters).collect()
}

#[cfg(test)]
mod tests {
    use contracts::{
        BILLING_ERROR_DOMAIN,
        billing_refusal::{IDEMPOTENCY_KEY_REUSED, STALE_ETAG},
    };
    use tonic::{Code, Status};
    use tonic_types::{ErrorDetails, FieldViolation, StatusExt as _};

    use super::*;

    fn of(code: Code, reason: &str, fields: &[(&str, &str)]) -> Problem {
        let mut details = ErrorDetails::with_error_info(reason, BILLING_ERROR_DOMAIN, []);
        for (field, message) in fields {
            details.add_bad_request_violation(*field, *message);
        }
        let status = Status::with_error_details(code, "in the service's words", details);
        problem(status.into())
    }

    #[test]
    fn a_refusal_is_the_problem_that_it_means() {
        for (code, reason, kind) in [
            (Code::NotFound, "NO_INVOICE", ProblemType::NotFound),
            (Code::PermissionDenied, "NOT_YOU", ProblemType::Forbidden),
            (
                Code::FailedPrecondition,
                "INVOICE_NOT_DRAFT",
                ProblemType::Conflict,
            ),
            (Code::AlreadyExists, "PAYMENT_KNOWN", ProblemType::Conflict),
            (Code::Aborted, STALE_ETAG, ProblemType::PreconditionFailed),
            (
                Code::AlreadyExists,
                IDEMPOTENCY_KEY_REUSED,
                ProblemType::IdempotencyKeyReused,
            ),
        ] {
            assert_eq!(of(code, reason, &[]).kind(), kind, "{reason}");
        }
        let conflict = of(Code::FailedPrecondition, "INVOICE_NOT_DRAFT", &[]);
        let document = conflict.document(None);
        assert_eq!(document.detail, "In the service's words");
        assert_eq!(document.reason, Some(RefusalReason::InvoiceNotDraft));
        // Of a newer service.
        let unheard_of = of(Code::FailedPrecondition, "MOON_TOO_FULL", &[]);
        assert_eq!(unheard_of.document(None).reason, None);
    }

    #[test]
    fn every_invalid_field_is_passed_on() {
        let fields = [("amount", "Must be more than 0"), ("method", "Is required")];
        let invalid = of(Code::InvalidArgument, "INVALID", &fields);
        assert_eq!(invalid.kind(), ProblemType::InvalidInput);
        assert_eq!(invalid.errors()["amount"], "Must be more than 0");
        assert_eq!(invalid.errors()["method"], "Is required");
        let field = FieldViolation::new("reference", "Is known");
        let known = of(
            Code::AlreadyExists,
            "PAYMENT_KNOWN",
            &[("reference", &field.description)],
        );
        assert!(known.concerns("reference"));
    }

    #[test]
    fn a_librarys_words_are_not_passed_on() {
        let refused = problem(Status::not_found("h2: stream 7").into());
        assert!(!refused.document(None).detail.contains("h2"));
        let invalid = problem(Status::invalid_argument("protobuf").into());
        assert_eq!(invalid.kind(), ProblemType::Internal);
    }
}
