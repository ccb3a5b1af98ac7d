//! What an AWS service's refusal means to a client of ours.

use std::error::Error;

use aws_smithy_runtime_api::client::result::SdkError;

use crate::Problem;

/// An AWS service that does not answer, or asks us to slow down, is unavailable for the
/// moment; the SDK has already retried. Anything else is a fault of ours.
impl<E, R> From<SdkError<E, R>> for Problem
where
    E: Error + Send + Sync + 'static,
    R: std::fmt::Debug + Send + Sync + 'static,
{
    fn from(error: SdkError<E, R>) -> Self {
        match error {
            SdkError::TimeoutError(_) | SdkError::DispatchFailure(_) => Self::unavailable(1, error),
            _ => Self::internal(error),
        }
    }
}
