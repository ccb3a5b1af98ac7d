//! Authentication and accounts: login, sessions, access tokens, and the API Gateway authorizer that
//! verifies them.
//!
//! One module per subject, one file per use case.

mod accounts;
mod messages;
mod passwords;
mod sessions;
mod tokens;

pub use accounts::{
    create_account, create_users, get_account, get_own_account, list_accounts, update_account,
};
pub use messages::{send_account_messages, tell_administrators};
pub use passwords::{
    HashingFailed, InvalidPassword, Password, PasswordHash, attempts, change_password,
    forgotten_password, set_password,
};
pub use sessions::{access, login, logout, logout_all, refresh};
pub use tokens::{authorizer, bearer_token, json_web_keys, keys_in_aws, validate_token};

route::service! {
    tags(
        "auth" = "Login, sessions and access tokens",
        "accounts" = "User accounts and roles",
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
