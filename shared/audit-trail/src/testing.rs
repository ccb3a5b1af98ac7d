//! The schema of the trail beside that of a service, for the service's tests.

use sqlx::migrate::Migrator;

/// The migrations of a service, and those of the trail after them.
#[must_use]
pub fn with_audit_trail(service: &Migrator) -> Migrator {
    let audit = sqlx::migrate!("../../functions/audit/migrations");
    let last = service.iter().map(|migration| migration.version).max();
    let audit = audit.iter().cloned().map(|mut migration| {
        migration.version += last.unwrap_or_default();
        migration
    });
    Migrator::with_migrations(service.iter().cloned().chain(audit).collect())
}
