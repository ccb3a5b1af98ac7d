//! Refunds: what is paid back of a payment, asked for by one person and approved by another.

pub mod approve_refund;
pub mod complete_refund;
pub mod get_refund;
pub mod list_refunds;
mod refund;
pub mod reject_refund;
pub mod request_refund;
