//! What can be done that leaves a record.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::Subject;

/// What was done, or was to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Action {
    /// Somebody logged in.
    LogIn,
    /// Somebody came with a refresh token.
    RefreshSession,
    /// Somebody ended their session, or all of theirs.
    LogOut,
    /// Somebody asked for a one-time token for a forgotten password.
    RequestPassword,
    /// Somebody changed their password, knowing the old one.
    ChangePassword,
    /// Somebody set a password with a one-time token.
    SetPassword,
    /// An account was given.
    CreateAccount,
    /// A role was changed, or somebody kept out or let in again.
    UpdateAccount,
    /// Accounts were looked at.
    ReadAccounts,
    /// A page of the list of patients was looked at.
    ListPatients,
    /// A patient was looked at.
    ReadPatient,
    /// A patient was registered.
    CreatePatient,
    /// A patient's data was changed.
    UpdatePatient,
    /// A patient was removed.
    DeletePatient,
    /// A patient's record was closed to most of the staff, or opened again.
    RestrictPatient,
    /// A restricted patient was looked at in an emergency, for a stated reason.
    EmergencyAccess,
    /// A patient's billing account was looked at.
    ReadBillingAccount,
    /// The messages to a patient were looked at.
    ReadNotifications,
    /// The counts of what happened to patients were looked at.
    ReadAnalytics,
    /// The audit trail was looked at.
    ReadAuditTrail,
    /// Requests came without a valid token, more of them from one source in a minute than are
    /// on record one by one.
    RequestsWithoutToken,
}

/// There is no action of this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no such action")]
pub struct UnknownAction;

impl Action {
    /// Every action.
    pub const ALL: [Self; 21] = [
        Self::LogIn,
        Self::RefreshSession,
        Self::LogOut,
        Self::RequestPassword,
        Self::ChangePassword,
        Self::SetPassword,
        Self::CreateAccount,
        Self::UpdateAccount,
        Self::ReadAccounts,
        Self::ListPatients,
        Self::ReadPatient,
        Self::CreatePatient,
        Self::UpdatePatient,
        Self::DeletePatient,
        Self::RestrictPatient,
        Self::EmergencyAccess,
        Self::ReadBillingAccount,
        Self::ReadNotifications,
        Self::ReadAnalytics,
        Self::ReadAuditTrail,
        Self::RequestsWithoutToken,
    ];

    /// The name in the database and the API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::LogIn => "LOG_IN",
            Self::RefreshSession => "REFRESH_SESSION",
            Self::LogOut => "LOG_OUT",
            Self::RequestPassword => "REQUEST_PASSWORD",
            Self::ChangePassword => "CHANGE_PASSWORD",
            Self::SetPassword => "SET_PASSWORD",
            Self::CreateAccount => "CREATE_ACCOUNT",
            Self::UpdateAccount => "UPDATE_ACCOUNT",
            Self::ReadAccounts => "READ_ACCOUNTS",
            Self::ListPatients => "LIST_PATIENTS",
            Self::ReadPatient => "READ_PATIENT",
            Self::CreatePatient => "CREATE_PATIENT",
            Self::UpdatePatient => "UPDATE_PATIENT",
            Self::DeletePatient => "DELETE_PATIENT",
            Self::RestrictPatient => "RESTRICT_PATIENT",
            Self::EmergencyAccess => "EMERGENCY_ACCESS",
            Self::ReadBillingAccount => "READ_BILLING_ACCOUNT",
            Self::ReadNotifications => "READ_NOTIFICATIONS",
            Self::ReadAnalytics => "READ_ANALYTICS",
            Self::ReadAuditTrail => "READ_AUDIT_TRAIL",
            Self::RequestsWithoutToken => "REQUESTS_WITHOUT_TOKEN",
        }
    }

    /// What a request of this route does, for the routes behind the authorizer. The path is
    /// as in the template, parameters in braces.
    #[must_use]
    pub fn of_route(method: &str, path: &str) -> Option<Self> {
        // A HEAD does all that a GET does, and keeps the body back.
        let method = if method == "HEAD" { "GET" } else { method };
        Some(match (method, path) {
            ("POST", "/auth/logout" | "/auth/logout-all") => Self::LogOut,
            ("POST", "/auth/change-password") => Self::ChangePassword,
            ("GET", "/api/me" | "/api/accounts" | "/api/accounts/{id}") => Self::ReadAccounts,
            ("POST", "/api/accounts") => Self::CreateAccount,
            ("PUT", "/api/accounts/{id}") => Self::UpdateAccount,
            ("GET", "/api/patients") => Self::ListPatients,
            ("POST", "/api/patients") => Self::CreatePatient,
            ("GET", "/api/patients/{id}") => Self::ReadPatient,
            ("PUT", "/api/patients/{id}") => Self::UpdatePatient,
            ("DELETE", "/api/patients/{id}") => Self::DeletePatient,
            ("PUT", "/api/patients/{id}/restriction") => Self::RestrictPatient,
            ("POST", "/api/patients/{id}/emergency-access") => Self::EmergencyAccess,
            ("GET", "/api/patients/{id}/billing-account") => Self::ReadBillingAccount,
            ("GET", "/api/notifications") => Self::ReadNotifications,
            ("GET", "/api/analytics/patients") => Self::ReadAnalytics,
            ("GET", "/api/audit") => Self::ReadAuditTrail,
            _ => return None,
        })
    }

    /// Whose data it is about, if the path of a route of this action names this id.
    #[must_use]
    pub const fn subject_in_path(self, id: Uuid) -> Subject<'static> {
        match self {
            Self::UpdateAccount | Self::ReadAccounts => Subject::Account(id),
            Self::ReadPatient
            | Self::UpdatePatient
            | Self::DeletePatient
            | Self::RestrictPatient
            | Self::EmergencyAccess
            | Self::ReadBillingAccount => Subject::Patient(id),
            // No path of theirs has an id.
            Self::LogIn
            | Self::RefreshSession
            | Self::LogOut
            | Self::RequestPassword
            | Self::ChangePassword
            | Self::SetPassword
            | Self::CreateAccount
            | Self::ListPatients
            | Self::CreatePatient
            | Self::ReadNotifications
            | Self::ReadAnalytics
            | Self::ReadAuditTrail
            | Self::RequestsWithoutToken => Subject::Nobody,
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Action {
    type Err = UnknownAction;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|action| action.name() == name)
            .ok_or(UnknownAction)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_action_has_one_name_everywhere() {
        for action in Action::ALL {
            assert_eq!(action.name().parse(), Ok(action));
            let json = format!("\"{}\"", action.name());
            assert_eq!(serde_json::from_str::<Action>(&json).unwrap(), action);
        }
    }

    #[test]
    fn an_id_in_a_path_is_a_patients_or_an_accounts() {
        let id = Uuid::from_u128(7);
        for route in identity::ROUTES {
            let action = Action::of_route(route.method, route.path).unwrap();
            let subject = if route.path.starts_with("/api/accounts/{id}") {
                Subject::Account(id)
            } else if route.path.starts_with("/api/patients/{id}") {
                Subject::Patient(id)
            } else {
                assert!(!route.path.contains("{id}"), "{}", route.path);
                continue;
            };
            assert_eq!(action.subject_in_path(id), subject, "{}", route.path);
        }
        assert_eq!(Action::LogIn.subject_in_path(id), Subject::Nobody);
    }

    #[test]
    fn every_route_behind_the_authorizer_is_an_action() {
        for route in identity::ROUTES {
            let action = Action::of_route(route.method, route.path);
            assert!(action.is_some(), "{} {}", route.method, route.path);
            if route.method == "GET" {
                assert_eq!(Action::of_route("HEAD", route.path), action);
            }
        }
    }
}
