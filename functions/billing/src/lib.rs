//! Billing: the accounts that patients are billed through.
//!
//! [`service`] is the gRPC service that keeps them, a process of its own, because Lambda
//! cannot serve HTTP/2. [`get_billing_account`] is the route of the API that shows one,
//! a function that calls the service.

pub mod get_billing_account;
pub mod service;

/// The service's part of the API's documentation.
#[derive(Debug, utoipa::OpenApi)]
#[openapi(
    paths(get_billing_account::get_billing_account),
    tags((name = "billing", description = "The accounts that patients are billed through"))
)]
pub struct Documentation;
