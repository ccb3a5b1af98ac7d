//! Charges: what patients are to pay for.

pub mod cancel_charge;
mod charge;
pub mod get_charge;
pub mod list_charges;
pub mod list_patient_charges;
pub mod record_charge;
