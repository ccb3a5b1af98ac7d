//! How each service of a stack is started, one module for each.

pub mod billing;
pub mod certificates;
pub mod dynamodb;
pub mod kafka;
pub mod localstack;
pub mod postgres;
