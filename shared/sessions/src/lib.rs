//! Sessions: what a login begins, and what may end before its access tokens do.
//!
//! **Rotation** (RFC 9700, section 4.14.2). A session counts its generations of refresh
//! tokens. The token of the current generation begins the next one, with a token for the
//! client. A token of an earlier generation has been used before: somebody has a copy, and
//! nobody can tell who is the thief, so the session ends for both.
//!
//! **Grace.** Two tabs of a browser may refresh with the same token at the same moment, and
//! an answer may be lost on its way. So the very token that began the current generation
//! leads to the same token again for [`Lifetimes::grace`]: whichever of the answers a front
//! end keeps, it has the right one. This does not hide a thief for long: who comes with a
//! token whose successor is in use, or whose grace is over, ends the session.
//!
//! **Revocation of all sessions** of a user is one item with a time: what was authenticated
//! before is over, however many there are.
//!
//! **Standing.** An access token is good until it expires, and the gateway's answer about it for
//! another while. What grants power asks [`Sessions::must_still`] in its own transaction.

mod items;
mod lifetimes;
mod no_session;
mod opaque_token;
mod refresh_token;
mod sessions;
mod standing;
#[cfg(feature = "testing")]
pub mod testing;

pub use lifetimes::{InvalidLifetimes, Lifetimes};
pub use no_session::NoSession;
pub use opaque_token::{NoRandomness, OpaqueToken};
pub use sessions::{Presented, Running, Sessions, SessionsUnavailable};
