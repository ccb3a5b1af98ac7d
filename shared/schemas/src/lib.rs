//! How each service's schema came to be what it is.
//!
//! The migrations stand with their service. They are compiled in here alone, so that there is
//! one place that has to notice a new one.

use sqlx::migrate::Migrator;

/// A service that has a schema of its own, which is named like it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// Accounts, and what is due to be told them.
    Auth,
    /// Patients, and what others are to hear of them.
    Patients,
    /// Billing accounts.
    Billing,
    /// Who did what.
    Audit,
}

impl Service {
    /// All of them. None depends on another, so neither does the order matter.
    pub const ALL: [Self; 4] = [Self::Auth, Self::Patients, Self::Billing, Self::Audit];

    /// What the service and its schema are called.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::Patients => "patients",
            Self::Billing => "billing",
            Self::Audit => "audit",
        }
    }

    /// The steps from nothing to the schema of now.
    #[must_use]
    pub fn migrations(self) -> Migrator {
        match self {
            Self::Auth => sqlx::migrate!("../../functions/auth/migrations"),
            Self::Patients => sqlx::migrate!("../../functions/patients/migrations"),
            Self::Billing => sqlx::migrate!("../../functions/billing/migrations"),
            Self::Audit => sqlx::migrate!("../../functions/audit/migrations"),
        }
    }
}

/// The migrations of several services as if they were those of one, in this order: for a
/// test's database.
#[must_use]
pub fn together(services: impl IntoIterator<Item = Service>) -> Migrator {
    let mut all = Vec::new();
    for (service, first) in services.into_iter().zip((0..).step_by(1000)) {
        all.extend(service.migrations().iter().cloned().map(|mut migration| {
            migration.version += first;
            migration
        }));
    }
    Migrator::with_migrations(all)
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    /// A file that is there and not compiled in would be missing in a database, too.
    #[test]
    fn every_migration_of_every_service_is_compiled_in() {
        let functions = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../functions");
        let mut with_schema = Vec::new();
        for service in fs::read_dir(functions).unwrap() {
            let service = service.unwrap();
            let Ok(files) = fs::read_dir(service.path().join("migrations")) else {
                continue;
            };
            let name = service.file_name().into_string().unwrap();
            let known = Service::ALL.into_iter().find(|known| known.name() == name);
            let known = known.unwrap_or_else(|| panic!("{name} has migrations"));
            assert_eq!(known.migrations().iter().count(), files.count(), "{name}");
            with_schema.push(name);
        }
        assert_eq!(with_schema.len(), Service::ALL.len());
    }
}
