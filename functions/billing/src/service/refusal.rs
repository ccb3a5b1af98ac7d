//! What a call is answered with that comes no further.

use axum::response::Response;
use tonic::Status;

/// A status as an answer without a message.
pub(super) fn refusal(status: Status) -> Response {
    status.into_http()
}
