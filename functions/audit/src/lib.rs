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

/// The service's part of the API's documentation.
#[derive(Debug, utoipa::OpenApi)]
#[openapi(
    paths(list_audit_records::list_audit_records),
    tags((name = "audit", description = "Who did what"))
)]
pub struct Documentation;
