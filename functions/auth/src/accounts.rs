//! Accounts: who may log in, and with which role.

mod account;
pub mod create_account;
pub mod create_users;
pub mod get_account;
pub mod get_own_account;
pub mod list_accounts;
pub mod update_account;
