//! Billing: the accounts through which patients are billed.
//!
//! [`service`] is the gRPC service that keeps them. It is a process of its own, because Lambda
//! cannot serve HTTP/2. [`get_billing_account`] is the API route that shows an account: a function
//! that calls the service.

pub mod get_billing_account;
pub mod service;

route::service! {
    tags("billing" = "The accounts through which patients are billed"),
    get_billing_account::ROUTE => get_billing_account,
}
