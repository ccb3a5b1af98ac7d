//! Why a call failed, by what its caller can do about it.

use std::collections::BTreeMap;

use contracts::{
    BILLING_ERROR_DOMAIN,
    billing_refusal::{IDEMPOTENCY_KEY_REUSED, STALE_ETAG},
};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// A call to the billing service failed.
#[derive(Debug, thiserror::Error)]
pub enum BillingError {
    /// The service is down, starting, saturated or too slow: the same call may succeed in a moment.
    /// It is unknown whether this one took effect; all calls may be repeated safely.
    #[error("the billing service cannot respond right now")]
    Unavailable(#[source] Status),
    /// The service understood the call and does not do what it asks for. It has changed nothing.
    #[error("the billing service refused the call")]
    Refused(#[source] Box<Refusal>),
    /// The service does not accept our token: the deployment is misconfigured, and the call will
    /// succeed once that is corrected.
    #[error("the billing service does not accept BILLING_TOKEN")]
    Unauthenticated,
    /// The service failed.
    #[error("the billing service failed")]
    Failed(#[source] Status),
    /// The service returned an answer in which this field is missing or unreadable.
    #[error("the billing service returned an answer without a readable {0}")]
    Unreadable(&'static str),
}

/// What the service refuses, and why.
#[derive(Debug, thiserror::Error)]
#[error("{kind:?}{}", reason.as_deref().map(|reason| format!(", {reason}")).unwrap_or_default())]
pub struct Refusal {
    /// What its caller can do about it.
    pub kind: RefusalKind,
    /// The name of the reason, such as `INVOICE_NOT_DRAFT`, if the service has given one.
    pub reason: Option<String>,
    /// The reason in words for whoever asked; none if the service has not written it for them.
    pub detail: Option<String>,
    /// What is wrong with which field, by its name in the API.
    pub fields: BTreeMap<String, String>,
    /// What the service knows about it besides, such as the id of what is in the way.
    pub metadata: BTreeMap<String, String>,
    #[source]
    status: Status,
}

/// What the caller can do about a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalKind {
    /// The input is invalid: the same call will never succeed.
    Invalid,
    /// There is no such thing.
    NotFound,
    /// Whoever is named may not do it.
    Forbidden,
    /// Things are not such that it could be done.
    Conflict,
    /// It was changed since its etag was read: it has to be read again.
    Stale,
    /// The request id belongs to a call with other parameters.
    RequestIdReused,
}

impl From<Status> for BillingError {
    fn from(status: Status) -> Self {
        if is_ours(&status) {
            return Self::Unavailable(status);
        }
        match status.code() {
            Code::Unauthenticated => Self::Unauthenticated,
            Code::Unavailable
            | Code::DeadlineExceeded
            | Code::ResourceExhausted
            | Code::Cancelled => Self::Unavailable(status),
            code => match Refusal::kind(code, &status) {
                Some(kind) => Self::Refused(Box::new(Refusal::new(kind, status))),
                None => Self::Failed(status),
            },
        }
    }
}

impl Refusal {
    fn kind(code: Code, status: &Status) -> Option<RefusalKind> {
        let details = status.get_details_error_info();
        let reason = details.as_ref().map(|info| info.reason.as_str());
        match (code, reason) {
            (_, Some(IDEMPOTENCY_KEY_REUSED)) => Some(RefusalKind::RequestIdReused),
            (Code::Aborted, Some(STALE_ETAG)) => Some(RefusalKind::Stale),
            (Code::InvalidArgument, _) => Some(RefusalKind::Invalid),
            (Code::NotFound, _) => Some(RefusalKind::NotFound),
            (Code::PermissionDenied, _) => Some(RefusalKind::Forbidden),
            (Code::AlreadyExists | Code::FailedPrecondition | Code::Aborted, _) => {
                Some(RefusalKind::Conflict)
            }
            _ => None,
        }
    }

    fn new(kind: RefusalKind, status: Status) -> Self {
        let details = status.get_error_details();
        let info = details.error_info();
        let info = info.filter(|info| info.domain == BILLING_ERROR_DOMAIN);
        let violations = details.bad_request();
        let violations = violations.map_or(&[][..], |request| &request.field_violations);
        Self {
            kind,
            reason: info.map(|info| info.reason.clone()),
            // Without the service's own reason, the words may be a library's.
            detail: info.map(|_| status.message().to_owned()),
            fields: violations
                .iter()
                .map(|violation| (violation.field.clone(), violation.description.clone()))
                .collect(),
            metadata: info
                .map(|info| info.metadata.clone().into_iter().collect())
                .unwrap_or_default(),
            status,
        }
    }

    /// The status as it came.
    #[must_use]
    pub const fn status(&self) -> &Status {
        &self.status
    }
}

/// Whether the status was produced on this side because no response came, rather than sent by the
/// service.
fn is_ours(status: &Status) -> bool {
    std::error::Error::source(status).is_some()
}

/// Whether an established connection broke during the call. The service was restarted, perhaps
/// while this process was frozen: a new connection may work.
pub(crate) fn connection_was_lost(status: &Status) -> bool {
    let mut causes =
        std::iter::successors(std::error::Error::source(status), |cause| cause.source());
    is_ours(status)
        && !causes
            .any(|cause| cause.is::<tonic::ConnectError>() || cause.is::<tonic::TimeoutExpired>())
}

#[cfg(test)]
mod tests {
    use tonic_types::{ErrorDetails, FieldViolation};

    use super::*;

    fn refusal(status: Status) -> Refusal {
        match BillingError::from(status) {
            BillingError::Refused(refusal) => *refusal,
            other => panic!("{other:?}"),
        }
    }

    fn because(code: Code, reason: &str) -> Status {
        let details = ErrorDetails::with_error_info(
            reason,
            BILLING_ERROR_DOMAIN,
            [("payment_id".to_owned(), "7".to_owned())],
        );
        Status::with_error_details(code, "in words", details)
    }

    #[test]
    fn temporary_errors_are_told_from_permanent_ones() {
        for code in [
            Code::Unavailable,
            Code::DeadlineExceeded,
            Code::ResourceExhausted,
        ] {
            let error = BillingError::from(Status::new(code, ""));
            assert!(matches!(error, BillingError::Unavailable(_)), "{code:?}");
        }
        for code in [Code::Internal, Code::Unknown, Code::Unimplemented] {
            let error = BillingError::from(Status::new(code, ""));
            assert!(matches!(error, BillingError::Failed(_)), "{code:?}");
        }
    }

    #[test]
    fn a_refusal_says_what_can_be_done_about_it() {
        for (status, kind) in [
            (Status::invalid_argument(""), RefusalKind::Invalid),
            (Status::not_found(""), RefusalKind::NotFound),
            (Status::permission_denied(""), RefusalKind::Forbidden),
            (Status::failed_precondition(""), RefusalKind::Conflict),
            (Status::already_exists(""), RefusalKind::Conflict),
            (Status::aborted(""), RefusalKind::Conflict),
            (because(Code::Aborted, STALE_ETAG), RefusalKind::Stale),
            (
                because(Code::AlreadyExists, IDEMPOTENCY_KEY_REUSED),
                RefusalKind::RequestIdReused,
            ),
        ] {
            let code = status.code();
            assert_eq!(refusal(status).kind, kind, "{code:?}");
        }
    }

    #[test]
    fn the_reason_is_the_services_own() {
        let refused = refusal(because(Code::AlreadyExists, "PAYMENT_KNOWN"));
        assert_eq!(refused.reason.as_deref(), Some("PAYMENT_KNOWN"));
        assert_eq!(refused.detail.as_deref(), Some("in words"));
        assert_eq!(refused.metadata["payment_id"], "7");
        assert_eq!(refused.to_string(), "Conflict, PAYMENT_KNOWN");

        let of_a_library = refusal(Status::invalid_argument("protobuf: 42"));
        assert_eq!((of_a_library.reason, of_a_library.detail), (None, None));
    }

    #[test]
    fn every_invalid_field_is_named() {
        let mut details = ErrorDetails::with_error_info("INVALID_FIELDS", BILLING_ERROR_DOMAIN, []);
        details.set_bad_request(vec![
            FieldViolation::new("amount", "Must be more than 0"),
            FieldViolation::new("method", "Is required"),
        ]);
        let status = Status::with_error_details(Code::InvalidArgument, "2 fields", details);
        let refused = refusal(status);
        assert_eq!(refused.fields["amount"], "Must be more than 0");
        assert_eq!(refused.fields["method"], "Is required");
    }

    #[test]
    fn a_transport_failure_is_temporary() {
        let status = Status::from_error("connection reset".into());
        assert_eq!(status.code(), Code::Unknown);
        assert!(connection_was_lost(&status));
        assert!(matches!(
            BillingError::from(status),
            BillingError::Unavailable(_)
        ));
    }

    #[test]
    fn only_a_lost_connection_is_retried_at_once() {
        let refused = tonic::ConnectError("connection refused".into());
        for status in [
            Status::unavailable("sent by the service"),
            Status::from_error(Box::new(refused)),
            Status::from_error(Box::new(tonic::TimeoutExpired(()))),
        ] {
            assert!(!connection_was_lost(&status), "{status}");
        }
    }
}
