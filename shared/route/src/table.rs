//! All routes of the system, for the functions that have to know them without knowing the
//! services: the authorizer, what records refusals, and what answers for a route's other methods.

use std::sync::LazyLock;

use crate::Row;

/// Written by `make generate`, and held by a test against what the services declare.
static TABLE: LazyLock<Vec<Row>> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../../../docs/routes.json")).unwrap_or_else(|error| {
        tracing::error!(cause = %error, "the table of the routes cannot be read");
        Vec::new()
    })
});

/// Every route, in the order of the services. Read with the first call.
///
/// An empty one, of a system that was built from a broken file, opens nothing.
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
    fn every_route_behind_the_authorizer_is_an_action() {
        for row in table().iter().filter(|row| row.permission.is_some()) {
            assert!(row.action.is_some(), "{row:?}");
        }
    }

    #[test]
    fn whoever_is_named_in_a_path_is_named_on_record() {
        use audit_trail::About;
        for row in table().iter().filter(|row| row.path.contains("{id}")) {
            assert_ne!(row.about, About::Nobody, "{row:?}");
        }
    }

    #[test]
    fn an_auditor_changes_nothing_but_what_is_their_own() {
        use identity::{Permission, Role};
        let own = [Permission::EndOwnSessions, Permission::ChangeOwnPassword];
        for row in table() {
            let Some(permission) = row.permission else {
                continue;
            };
            if Role::Auditor.may(permission) && !own.contains(&permission) {
                assert_eq!(row.method, Method::Get, "{row:?}");
            }
        }
    }
}
