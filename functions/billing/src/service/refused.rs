//! What the service refuses: a status with the reason in a form that programs understand
//! (<https://google.aip.dev/193>).

use std::{collections::HashMap, fmt};

use api::RefusalReason;
use contracts::{
    BILLING_ERROR_DOMAIN,
    billing_refusal::{IDEMPOTENCY_KEY_REUSED, NO_ACCOUNT, STALE_ETAG},
};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

/// Clients get no error at all if its details are too long: 8 KiB is too much for some of them.
const MAX_VIOLATIONS: usize = 25;

/// Why something else is refused than what stands in the way of a change, which is a [`RefusalReason`].
/// Clients know all of them: `proto/billing/v1` lists them.
const INVALID_INPUT: &str = "INVALID_INPUT";
const ACTOR_MISSING: &str = "ACTOR_MISSING";
const NOT_FOUND: &str = "NOT_FOUND";

fn details(reason: &str) -> ErrorDetails {
    ErrorDetails::with_error_info(reason, BILLING_ERROR_DOMAIN, HashMap::new())
}

/// Things are not such that it could be done. `subject` is what is in the way, such as
/// `invoice 0198…`.
pub(crate) fn not_now(reason: RefusalReason, subject: impl fmt::Display, why: &str) -> Status {
    let mut details = details(reason.name());
    details.add_precondition_failure_violation(reason.name(), subject.to_string(), why);
    Status::with_error_details(Code::FailedPrecondition, why, details)
}

/// There is no such thing.
pub(crate) fn not_found(what: &str) -> Status {
    let why = format!("there is no such {what}");
    Status::with_error_details(Code::NotFound, why, details(NOT_FOUND))
}

/// The patient has no account, or none yet.
pub(crate) fn no_account() -> Status {
    let why = "the patient has no billing account";
    Status::with_error_details(Code::NotFound, why, details(NO_ACCOUNT))
}

/// It was changed since its etag was read.
pub(crate) fn stale() -> Status {
    let why = "it was changed since its etag was read";
    Status::with_error_details(Code::Aborted, why, details(STALE_ETAG))
}

/// It is there already: in the metadata, under this key.
pub(crate) fn known(reason: RefusalReason, why: &str, key: &str, id: impl fmt::Display) -> Status {
    let metadata = HashMap::from([(key.to_owned(), id.to_string())]);
    let details = ErrorDetails::with_error_info(reason.name(), BILLING_ERROR_DOMAIN, metadata);
    Status::with_error_details(Code::AlreadyExists, why, details)
}

/// The request id belongs to a call with other parameters.
pub(crate) fn request_id_reused() -> Status {
    let why = "the request_id was used for another request";
    let details = details(IDEMPOTENCY_KEY_REUSED);
    Status::with_error_details(Code::AlreadyExists, why, details)
}

/// The request was answered before, and its answer went with the patient.
pub(crate) fn answer_erased(request: impl fmt::Display) -> Status {
    let why = "this request has already taken effect, and its response was erased with the patient";
    not_now(
        RefusalReason::AnswerErased,
        format_args!("request {request}"),
        why,
    )
}

/// Nobody is named who wants the change.
pub(crate) fn nobody() -> Status {
    let why = "the metadata does not say who wants the change";
    Status::with_error_details(Code::InvalidArgument, why, details(ACTOR_MISSING))
}

/// What is wrong with the fields of a request, by their names in the API. All of them are told at
/// once.
#[derive(Debug, Default)]
pub(crate) struct Faults(Vec<(String, String)>);

impl Faults {
    /// The value of a field, or a note of what is wrong with it.
    pub(crate) fn take<T, E: fmt::Display>(
        &mut self,
        field: &str,
        read: Result<T, E>,
    ) -> Option<T> {
        read.map_err(|fault| self.note(field, fault)).ok()
    }

    /// Notes what is wrong with a field.
    pub(crate) fn note(&mut self, field: &str, fault: impl fmt::Display) {
        self.0.push((field.to_owned(), fault.to_string()));
    }

    /// Whether nothing is wrong.
    ///
    /// # Errors
    /// What is wrong.
    pub(crate) fn none(self) -> Result<(), Status> {
        if self.0.is_empty() {
            return Ok(());
        }
        Err(self.refusal())
    }

    /// What is wrong.
    pub(crate) fn refusal(self) -> Status {
        let mut details = details(INVALID_INPUT);
        for (field, fault) in self.0.into_iter().take(MAX_VIOLATIONS) {
            details.add_bad_request_violation(field, fault);
        }
        Status::with_error_details(Code::InvalidArgument, "the request is invalid", details)
    }
}

/// One field is invalid.
pub(crate) fn invalid(field: &str, fault: impl fmt::Display) -> Status {
    let mut faults = Faults::default();
    faults.note(field, fault);
    faults.refusal()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_invalid_field_is_named() {
        let mut faults = Faults::default();
        assert_eq!(faults.take("code", Ok::<_, &str>(1)), Some(1));
        assert_eq!(
            faults.take("amount", Err::<i32, _>("Must be more than 0")),
            None
        );
        faults.note("note", "Cannot exceed 500 characters");
        let status = faults.none().unwrap_err();
        let details = status.get_error_details();
        assert_eq!(details.error_info().unwrap().reason, "INVALID_INPUT");
        let fields = &details.bad_request().unwrap().field_violations;
        assert_eq!(fields.len(), 2);
        assert_eq!(fields[0].field, "amount");
        assert!(Faults::default().none().is_ok());
    }

    #[test]
    fn a_client_gets_the_error_however_much_is_wrong() {
        let mut faults = Faults::default();
        for line in 0..200 {
            faults.note(&format!("lines[{line}].chargeId"), "Must be a UUID");
        }
        assert!(faults.refusal().details().len() < 4096);
    }

    #[test]
    fn what_stands_in_the_way_is_named() {
        let status = not_now(
            RefusalReason::InvoiceNotDraft,
            "invoice 7",
            "the invoice is not a draft",
        );
        let details = status.get_error_details();
        assert_eq!(details.error_info().unwrap().reason, "INVOICE_NOT_DRAFT");
        let violation = &details.precondition_failure().unwrap().violations[0];
        assert_eq!(violation.subject, "invoice 7");
    }
}
