//! Sessions: what a login starts, and what may end before its access tokens expire.
//!
//! **Rotation** (RFC 9700, section 4.14.2). A session counts its generations of refresh tokens. The
//! token of the current generation starts the next one and is exchanged for a new token. A token of
//! an earlier generation has been used before: somebody has a copy, and there is no telling who the
//! thief is, so the session ends for both.
//!
//! **Grace.** Two tabs of a browser may refresh with the same token at the same moment, and a
//! response may be lost. So the token that started the current generation leads to the same
//! successor again for [`Lifetimes::grace`]: whichever response a front end keeps, it has the right
//! token. This does not hide a thief for long: a token whose successor has been used, or whose
//! grace is over, ends the session.
//!
//! **Revoking all sessions** of a user is one item with a time: everything authenticated before
//! that is over, however many sessions there are.
//!
//! **Current standing.** An access token is good until it expires, and the gateway may reuse the
//! authorizer's result for a while longer. Operations that grant power check
//! [`Sessions::must_still`] in their own transaction.

mod beginning;
mod ending;
mod items;
mod lifetimes;
mod no_session;
mod opaque_token;
mod refresh_token;
mod rotation;

mod standing;
mod table;
#[cfg(feature = "testing")]
pub mod testing;
mod unavailable;

pub use beginning::Running;
pub use lifetimes::{InvalidLifetimes, Lifetimes};
pub use no_session::NoSession;
pub use opaque_token::{NoRandomness, OpaqueToken};
pub use rotation::Presented;
pub use table::Sessions;
pub use unavailable::SessionsUnavailable;
