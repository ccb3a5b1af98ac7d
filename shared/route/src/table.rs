//! All routes of the system, for the functions that must know them without depending on the
//! services: the authorizer, the recording of refusals, and the responses to unsupported methods.

use std::sync::LazyLock;

use crate::Row;

/// Written by `make generate`. A test compares it with what the services declare.
static TABLE: LazyLock<Vec<Row>> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../../../docs/routes.json")).unwrap_or_else(|error| {
        tracing::error!(cause = %error, "the table of routes cannot be read");
        Vec::new()
    })
});

/// Every route, in the order of the services. Read on the first call.
///
/// A system built from a broken file has an empty table, which grants nothing.
#[must_use]
pub fn table() -> &'static [Row] {
    &TABLE
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Method;

    #[test]
    fn the_table_can_be_read() {
        assert!(!table().is_empty());
    }

    #[test]
    fn no_two_routes_are_the_same() {
        let mut known = std::collections::BTreeSet::new();
        for row in table() {
            assert!(known.insert((row.method, row.path)), "{row:?}");
        }
    }

    #[test]
    fn every_route_behind_the_authorizer_has_an_action() {
        for row in table().iter().filter(|row| row.permission.is_some()) {
            assert!(row.action.is_some(), "{row:?}");
        }
    }

    #[test]
    fn every_route_with_an_id_in_its_path_records_whose_it_is() {
        use audit_trail::{About, ResourceType};
        for row in table() {
            let expected = if row.path.starts_with("/api/patients/{id}") {
                About::PatientInPath
            } else if row.path.starts_with("/api/accounts/{id}") {
                About::AccountInPath
            } else if row.path.starts_with("/api/appointments/{id}") {
                About::ResourceInPath(ResourceType::Appointment)
            } else if row.path.starts_with("/api/locations/{id}") {
                About::ResourceInPath(ResourceType::Location)
            } else if row.path.starts_with("/api/resources/{id}") {
                About::ResourceInPath(ResourceType::Resource)
            } else if row.path.starts_with("/api/charges/{id}") {
                About::ResourceInPath(ResourceType::Charge)
            } else if row.path.starts_with("/api/invoices/{id}") {
                About::ResourceInPath(ResourceType::Invoice)
            } else if row.path.starts_with("/api/payments/{id}") {
                About::ResourceInPath(ResourceType::Payment)
            } else if row.path.starts_with("/api/refunds/{id}") {
                About::ResourceInPath(ResourceType::Refund)
            } else if row.path.starts_with("/api/waitlist/{id}") {
                About::ResourceInPath(ResourceType::WaitlistEntry)
            } else if row.path.starts_with("/api/groups/{id}") {
                About::ResourceInPath(ResourceType::Group)
            } else if row.path.starts_with("/api/patients/imports/{id}") {
                About::ResourceInPath(ResourceType::PatientImport)
            } else if row.path.starts_with("/api/patients/exports/{id}") {
                About::ResourceInPath(ResourceType::PatientExport)
            } else if row.path.starts_with("/api/patients/merges/{id}") {
                About::ResourceInPath(ResourceType::PatientMerge)
            } else {
                assert!(!row.path.contains("{id}"), "{row:?}: whose id is it?");
                continue;
            };
            assert_eq!(row.about, expected, "{row:?}");
            // Whoever is named is found by counting the segments from the end.
            assert!(!row.path.contains("+}"), "{row:?}");
        }
    }

    #[test]
    fn auditors_may_change_only_their_own_sessions_and_password() {
        use identity::{Permission, Role};
        let own = [Permission::EndOwnSessions, Permission::ChangeOwnPassword];
        for row in table() {
            let Some(permission) = row.permission else {
                continue;
            };
            // The search reads: names stay out of the URL.
            let reads = row.function == "search-patients";
            if Role::Auditor.may(permission) && !own.contains(&permission) && !reads {
                assert_eq!(row.method, Method::Get, "{row:?}");
            }
        }
    }
}
