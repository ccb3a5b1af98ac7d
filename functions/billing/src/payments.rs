//! Payments: what patients have paid, and what it is for.

pub mod allocate_payment;
pub mod get_payment;
pub mod list_patient_payments;
mod payment;
pub mod record_payment;
pub mod reverse_payment;

pub(crate) use payment::{PaymentMethod, find, of_method};
