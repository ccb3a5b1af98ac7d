//! Who may come in: login, the access tokens that it gives out, and the API Gateway
//! authorizer that reads them.
//!
//! One file per use case: [`login`], [`validate_token`], [`json_web_keys`],
//! [`authorizer`] and [`create_users`].

pub mod authorizer;
mod bearer_token;
mod cached;
pub mod create_users;
mod email_address;
pub mod json_web_keys;
pub mod keys_in_aws;
pub mod login;
mod password;
mod policy;
pub mod validate_token;

pub use email_address::{EmailAddress, InvalidEmailAddress};
pub use password::{HashingFailed, InvalidPassword, Password, PasswordHash};

/// The service's part of the API's documentation.
#[derive(Debug, utoipa::OpenApi)]
#[openapi(
    paths(
        login::login,
        validate_token::validate_token,
        json_web_keys::json_web_keys,
    ),
    tags((name = "auth", description = "Login and access tokens"))
)]
pub struct Documentation;
