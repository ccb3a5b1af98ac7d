//! The tokens that continue a session.

use crate::opaque_token::OpaqueToken;

/// A refresh token contains its session's id, so that one read finds it.
pub(crate) type RefreshToken = OpaqueToken<16>;
