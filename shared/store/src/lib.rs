//! How a function reaches what is stored: opened lazily, so that a cold start pays for
//! nothing that the first request does not need.

mod aws;
mod dynamodb;
mod postgres;
mod setting;
#[cfg(feature = "testing")]
pub mod testing;
mod transaction;

pub use ::aws_config::SdkConfig;
pub use aws::{aws_config, failure_code, http_client};
pub use dynamodb::{Table, TransactionError};
pub use postgres::{
    PoolError, TRUSTED_FOR, connect_options, connect_options_of, pool, pool_of, pool_with,
};
pub use setting::{FromEnvironment, MissingSetting, setting};
pub use transaction::Transaction;
