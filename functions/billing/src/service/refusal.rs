//! The response to a call that is rejected before its use case.

use axum::response::Response;
use tonic::Status;

/// A status as a response without a message.
pub(super) fn refusal(status: Status) -> Response {
    status.into_http()
}
