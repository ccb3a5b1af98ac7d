//! How a function reaches stored data: opened lazily, so that a cold start only pays for what the
//! first request needs.

mod aws;
mod connection;
mod dynamodb;
mod postgres;
mod setting;
#[cfg(feature = "testing")]
pub mod testing;
mod transaction;

pub use ::aws_config::SdkConfig;
pub use aws::{aws_config, failure_code, http_client};
pub use connection::Connection;
pub use dynamodb::{Table, TransactionError};
pub use postgres::{
    PoolError, TRUSTED_FOR, connect_options, connect_options_of, connect_options_to, pool, pool_of,
    pool_with,
};
pub use setting::{FromEnvironment, MissingSetting, setting};
pub use transaction::Transaction;
