//! Where the service keeps what it has.

/// The service's schema in the database.
pub(crate) const SCHEMA: &str = "patients";
