//! How an AWS service's error is reported to clients.

use std::error::Error;

use aws_smithy_runtime_api::client::{orchestrator::HttpResponse, result::SdkError};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use crate::Problem;

/// The codes with which AWS services throttle a client; most come with status 400
/// (<https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html>).
const THROTTLING: [&str; 8] = [
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "RequestThrottledException",
    "TooManyRequestsException",
    "TransactionInProgressException",
];

/// An AWS service that times out, fails or throttles us is temporarily unavailable; the SDK has
/// already retried. Anything else is our own fault.
impl<E> From<SdkError<E, HttpResponse>> for Problem
where
    E: Error + ProvideErrorMetadata + Send + Sync + 'static,
{
    fn from(error: SdkError<E, HttpResponse>) -> Self {
        let status = error
            .raw_response()
            .map(|response| response.status().as_u16());
        let code = error
            .as_service_error()
            .and_then(ProvideErrorMetadata::code);
        let passing = match &error {
            SdkError::TimeoutError(_) | SdkError::DispatchFailure(_) => true,
            _ => {
                status.is_some_and(|status| status == 429 || status >= 500)
                    || code.is_some_and(|code| THROTTLING.contains(&code))
            }
        };
        if passing {
            Self::unavailable(1, error)
        } else {
            Self::internal(error)
        }
    }
}

#[cfg(test)]
mod tests {
    use aws_smithy_types::{body::SdkBody, error::ErrorMetadata};
    use http::{StatusCode, header};

    use super::*;

    fn problem(status: u16, code: &str) -> Problem {
        let refusal = ErrorMetadata::builder().code(code).build();
        let response = HttpResponse::new(status.try_into().unwrap(), SdkBody::empty());
        SdkError::service_error(refusal, response).into()
    }

    #[test]
    fn throttling_and_outages_are_503_and_everything_else_is_500() {
        for (status, code) in [
            (400, "ThrottlingException"),
            (400, "ProvisionedThroughputExceededException"),
            (400, "RequestLimitExceeded"),
            (429, "TooManyRequestsException"),
            (429, "SomethingNew"),
            (500, "InternalServerError"),
            (503, "ServiceUnavailable"),
        ] {
            let problem = problem(status, code);
            assert_eq!(
                problem.kind().status(),
                StatusCode::SERVICE_UNAVAILABLE,
                "{status} {code}"
            );
            let answer = problem.to_response(None);
            assert!(answer.headers().contains_key(header::RETRY_AFTER));
        }
        for (status, code) in [
            (400, "ValidationException"),
            (400, "ResourceNotFoundException"),
            (403, "AccessDeniedException"),
        ] {
            let status_of_ours = problem(status, code).kind().status();
            assert_eq!(status_of_ours, StatusCode::INTERNAL_SERVER_ERROR, "{code}");
        }
    }

    #[test]
    fn a_timeout_is_503() {
        let error: SdkError<ErrorMetadata, HttpResponse> = SdkError::timeout_error("slow");
        let status = Problem::from(error).kind().status();
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    }
}
