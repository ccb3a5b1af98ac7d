//! Who is calling and what they may do.
//!
//! [`Role`] and [`Permission`] with the one table that connects them, the access tokens that carry
//! a role from the login to the authorizer ([`AccessTokens`], [`PublicKeys`]), and the [`Caller`]
//! of a request, of whom every use case demands its permission.

mod access_token;
mod caller;
mod es256;
mod keys;
mod permission;
mod published_keys;
mod signature;
#[cfg(feature = "testing")]
pub mod testing;

pub use access_token::{AccessTokens, Claims, ISSUER, InvalidToken, LIFETIME_SECONDS, verify};
pub use caller::Caller;
pub use keys::{KeyError, PublicKeys, SigningKey};
pub use permission::{Permission, Role, UnknownRole};
pub use published_keys::{NEW_KEY_KNOWN_AFTER, PublishedKeys, UNKNOWN_KEY_PAUSE};
