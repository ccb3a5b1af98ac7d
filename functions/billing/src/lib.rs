//! Billing: the accounts that patients are billed through.
//!
//! [`service`] is the gRPC service that keeps them, a process of its own, because Lambda
//! cannot serve HTTP/2. [`get_billing_account`] is the route of the API that shows one,
//! a function that calls the service.

pub mod get_billing_account;
pub mod service;

route::service! {
    tags("billing" = "The accounts that patients are billed through"),
    get_billing_account::ROUTE => get_billing_account,
}
