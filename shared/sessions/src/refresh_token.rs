//! What a session goes on with.

use crate::opaque_token::OpaqueToken;

/// A refresh token names its session, to be looked up with one read.
pub(crate) type RefreshToken = OpaqueToken<16>;
