//! How the rest of the system calls the billing service.
//!
//! [`BillingClient`] adds to the generated client what every call needs: the service token, the
//! trace, a deadline, and a new connection when one is lost. Its errors say what a caller can do
//! about them.

mod account;
mod calls;
mod client;
mod error;
mod on_behalf;
mod settings;

pub use account::{Account, AccountStatus, BilledTo};
pub use calls::Done;
pub use client::{BillingClient, CALL_DEADLINE, CONNECT_TIMEOUT, REPORT_DEADLINE};
pub use error::{BillingError, Refusal, RefusalKind};
pub use on_behalf::{Instruction, OnBehalfOf};
pub use settings::SettingsError;
