//! Runs the whole system on one machine, without Docker.
//!
//! `local-stack up` installs what is missing, starts PostgreSQL, Kafka, DynamoDB, the
//! billing service and LocalStack, builds and deploys the functions, and fills the stack
//! with what it needs to be used. Each module tells one part of that story.

pub mod build;
pub mod cache;
pub mod cancellation;
pub mod context;
pub mod deployed;
pub mod deployment;
pub mod durations;
pub mod endpoints;
pub mod files;
pub mod fingerprint;
pub mod identity;
pub mod ports;
pub mod processes;
pub mod progress;
pub mod provisioning;
pub mod readiness;
pub mod reading;
pub mod service;
pub mod services;
pub mod settings;
pub mod stack;
pub mod stack_file;
pub mod template;
pub mod tool;
