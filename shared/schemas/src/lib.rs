//! The migrations of every service's schema.
//!
//! The migrations are kept with their service. They are compiled in only here, so that only one
//! place has to notice a new one.

use sqlx::migrate::Migrator;

// Every folder of `functions/` that has migrations.
include!(concat!(env!("OUT_DIR"), "/services.rs"));

/// The migrations of several services combined into one, in this order, for a test database.
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

    /// A file that is not compiled in would be missing in every database, too.
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
            let known = known
                .unwrap_or_else(|| panic!("{name} has migrations, but is not a known service"));
            assert_eq!(known.migrations().iter().count(), files.count(), "{name}");
            with_schema.push(name);
        }
        assert_eq!(with_schema.len(), Service::ALL.len());
    }
}
