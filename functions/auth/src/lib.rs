//! Who may come in: login, the sessions that it begins, the access tokens of the
//! sessions, and the API Gateway authorizer that reads them.
//!
//! One file per use case: [`login`], [`refresh`], [`logout`], [`logout_all`],
//! [`validate_token`], [`json_web_keys`], [`authorizer`] and [`create_users`].

pub mod access;
pub mod authorizer;
pub mod bearer_token;
mod cached;
pub mod create_users;
mod email_address;
pub mod json_web_keys;
pub mod keys_in_aws;
pub mod login;
pub mod logout;
pub mod logout_all;
mod opaque_token;
mod password;
mod policy;
pub mod refresh;
pub mod sessions;
pub mod validate_token;

pub use email_address::{EmailAddress, InvalidEmailAddress};
pub use password::{HashingFailed, InvalidPassword, Password, PasswordHash};

/// The service's part of the API's documentation.
#[derive(Debug, utoipa::OpenApi)]
#[openapi(
    paths(
        login::login,
        refresh::refresh,
        logout::logout,
        logout_all::logout_all,
        validate_token::validate_token,
        json_web_keys::json_web_keys,
    ),
    tags((name = "auth", description = "Login, sessions and access tokens"))
)]
pub struct Documentation;
