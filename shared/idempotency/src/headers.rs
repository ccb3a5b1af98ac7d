//! The headers of requests and responses.

/// The request header.
pub const IDEMPOTENCY_KEY: http::HeaderName = http::HeaderName::from_static("idempotency-key");

/// The response header that marks a stored response: the request took effect when it was first
/// sent.
pub const IDEMPOTENCY_REPLAYED: http::HeaderName =
    http::HeaderName::from_static("idempotency-replayed");
