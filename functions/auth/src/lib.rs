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

route::service! {
    tags(
        "auth" = "Login, sessions and access tokens",
        "accounts" = "Who may log in, and as what",
    ),
    login::ROUTE => login,
    refresh::ROUTE => refresh,
    logout::ROUTE => logout,
    logout_all::ROUTE => logout_all,
    change_password::ROUTE => change_password,
    forgotten_password::ROUTE => forgotten_password,
    set_password::ROUTE => set_password,
    create_account::ROUTE => create_account,
    list_accounts::ROUTE => list_accounts,
    get_account::ROUTE => get_account,
    get_own_account::ROUTE => get_own_account,
    update_account::ROUTE => update_account,
    validate_token::ROUTE => validate_token,
    json_web_keys::ROUTE => json_web_keys,
}
