//! What can be done that leaves a record.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

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
}
