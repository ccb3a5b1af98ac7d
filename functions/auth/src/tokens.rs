//! Access tokens: verifying them, and the keys needed for it.

pub mod authorizer;
pub mod bearer_token;
mod cached;
pub mod json_web_keys;
pub mod keys_in_aws;
mod policy;
pub mod validate_token;
