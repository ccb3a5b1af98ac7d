//! Who may come in: login, the sessions that it begins, the access tokens of the
//! sessions, and the API Gateway authorizer that reads them.
//!
//! One file per use case: [`login`], [`refresh`], [`logout`], [`logout_all`],
//! [`validate_token`], [`json_web_keys`] and [`authorizer`]; [`change_password`],
//! [`forgotten_password`], [`set_password`] and [`send_account_messages`];
//! [`create_account`], [`list_accounts`], [`get_account`], [`get_own_account`],
//! [`update_account`] and
//! [`create_users`].

pub mod access;
mod account;
pub mod attempts;
pub mod authorizer;
pub mod bearer_token;
mod cached;
pub mod change_password;
pub mod create_account;
pub mod create_users;
mod due_messages;
pub mod forgotten_password;
pub mod get_account;
pub mod get_own_account;
pub mod json_web_keys;
pub mod keys_in_aws;
pub mod list_accounts;
pub mod login;
pub mod logout;
pub mod logout_all;
mod password;
mod password_rules;
mod policy;
pub mod refresh;
pub mod send_account_messages;
pub mod set_password;
pub mod tell_administrators;
pub mod update_account;
pub mod validate_token;

pub use fields::{EmailAddress, InvalidEmailAddress};
pub use password::{HashingFailed, InvalidPassword, Password, PasswordHash};

/// The service's part of the API's documentation.
#[derive(Debug, utoipa::OpenApi)]
#[openapi(
    paths(
        login::login,
        refresh::refresh,
        logout::logout,
        logout_all::logout_all,
        change_password::change_password,
        forgotten_password::forgotten_password,
        set_password::set_password,
        create_account::create_account,
        list_accounts::list_accounts,
        get_account::get_account,
        get_own_account::get_own_account,
        update_account::update_account,
        validate_token::validate_token,
        json_web_keys::json_web_keys,
    ),
    tags(
        (name = "auth", description = "Login, sessions and access tokens"),
        (name = "accounts", description = "Who may log in, and as what"),
    )
)]
pub struct Documentation;
