//! The headers that it is all about.

/// The request header.
pub const IDEMPOTENCY_KEY: http::HeaderName = http::HeaderName::from_static("idempotency-key");

/// The response header that says that the answer was stored: the request had its effect
/// when it came before.
pub const IDEMPOTENCY_REPLAYED: http::HeaderName =
    http::HeaderName::from_static("idempotency-replayed");
