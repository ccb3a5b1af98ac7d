//! The audit trail: [`list_audit_records`] is who reads it, [`verify_audit_trail`] what
//! proves that no record is missing and none was changed, and [`record_refusals`] how what
//! the gateway refuses gets into it.
//!
//! The other services write to it with `shared/audit-trail`. The schema is in
//! `migrations/`.

mod chain;
pub mod list_audit_records;
pub mod record_refusals;
pub mod verify_audit_trail;

route::service! {
    tags("audit" = "Who did what"),
    list_audit_records::ROUTE => list_audit_records,
}
