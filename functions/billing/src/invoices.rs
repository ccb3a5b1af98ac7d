//! Invoices: what patients are asked to pay.

pub mod credit_invoice;
mod credit_note;
pub mod delete_invoice;
pub mod draft_invoice;
pub mod get_invoice;
pub mod get_invoice_document;
mod invoice;
pub mod issue_invoice;
mod line;
pub mod list_invoices;
pub mod list_patient_invoices;
pub mod reject_write_off;
pub mod send_invoice;
mod summary;
pub mod update_invoice;
pub mod void_invoice;
pub mod write_off_invoice;

pub(crate) use invoice::Printed;
