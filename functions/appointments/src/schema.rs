//! The service's part of the database.

/// The service's schema.
pub(crate) const SCHEMA: &str = "appointments";
