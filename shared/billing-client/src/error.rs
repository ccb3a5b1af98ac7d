//! Why a call failed, by what its caller can do about it.

use tonic::{Code, Status};

/// A call to the billing service failed.
#[derive(Debug, thiserror::Error)]
pub enum BillingError {
    /// The service is down, starting, saturated or too slow: the same call may succeed in a moment.
    /// It is unknown whether this one took effect; all calls may be repeated safely.
    #[error("the billing service cannot respond right now")]
    Unavailable(#[source] Status),
    /// The service considers the input invalid: the same call will never succeed.
    #[error("the billing service rejected the input")]
    Refused(#[source] Status),
    /// The service does not accept our token: the deployment is misconfigured, and the call will
    /// succeed once that is corrected.
    #[error("the billing service does not accept BILLING_TOKEN")]
    Unauthenticated,
    /// The service failed.
    #[error("the billing service failed")]
    Failed(#[source] Status),
    /// The service returned an account in which this field is missing or unreadable.
    #[error("the billing service returned an account without a readable {0}")]
    Unreadable(&'static str),
}

impl From<Status> for BillingError {
    fn from(status: Status) -> Self {
        match status.code() {
            Code::InvalidArgument => Self::Refused(status),
            Code::Unauthenticated => Self::Unauthenticated,
            Code::Unavailable
            | Code::DeadlineExceeded
            | Code::ResourceExhausted
            | Code::Aborted
            | Code::Cancelled => Self::Unavailable(status),
            _ if is_ours(&status) => Self::Unavailable(status),
            _ => Self::Failed(status),
        }
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
    use super::*;

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
        let error = BillingError::from(Status::invalid_argument(""));
        assert!(matches!(error, BillingError::Refused(_)));
        for code in [Code::Internal, Code::Unknown, Code::Unimplemented] {
            let error = BillingError::from(Status::new(code, ""));
            assert!(matches!(error, BillingError::Failed(_)), "{code:?}");
        }
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
