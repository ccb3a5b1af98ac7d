//! How a function reaches stored data: opened lazily, so that a cold start only pays for what the
//! first request needs.

mod aws;
mod connection;
mod dynamodb;
mod no_delay;
mod postgres;
mod presigned;
mod setting;
#[cfg(feature = "testing")]
pub mod testing;
mod transaction;

pub use ::aws_config::SdkConfig;
pub use aws::{aws_config, failure_code, http_client};
pub use connection::{Connection, given_back};
pub use dynamodb::{Table, TransactionError};
pub use postgres::{
    Authentication, PoolError, TRUSTED_FOR, TokenError, WithTokens, connect_options,
    connect_options_of, connect_options_to, pool, pool_for, pool_of, pool_with, renew_tokens,
    service_fn, verified, with_token, with_tokens,
};
pub use presigned::Presigned;
pub use setting::{FromEnvironment, MissingSetting, setting};
pub use transaction::Transaction;
