//! The permission table: the one place that says which role may do what.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What somebody works as, and thereby what they may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Role {
    /// Runs the system: everything.
    Admin,
    /// Treats patients: their records, not the bookkeeping about them.
    Clinician,
    /// Registers patients and keeps their data up to date.
    Receptionist,
    /// Looks, and changes nothing.
    Auditor,
}

/// There is no role of this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no such role")]
pub struct UnknownRole;

impl Role {
    /// Every role.
    pub const ALL: [Self; 4] = [
        Self::Admin,
        Self::Clinician,
        Self::Receptionist,
        Self::Auditor,
    ];

    /// The name in tokens, the database and the API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Admin => "ADMIN",
            Self::Clinician => "CLINICIAN",
            Self::Receptionist => "RECEPTIONIST",
            Self::Auditor => "AUDITOR",
        }
    }

    /// What the role allows.
    #[must_use]
    pub const fn permissions(self) -> &'static [Permission] {
        use Permission::{
            ChangeOwnPassword, CreatePatient, DeletePatient, EndOwnSessions, ListPatients,
            ManageAccounts, OpenInEmergency, ReadAccounts, ReadAnalytics, ReadAuditTrail,
            ReadBillingAccount, ReadNotifications, ReadOwnAccount, ReadPatient,
            RegisterWithoutWelcome, RestrictPatient, SeeRestrictedPatients, UpdatePatient,
        };
        match self {
            Self::Admin => &[
                EndOwnSessions,
                ChangeOwnPassword,
                ReadOwnAccount,
                ReadAccounts,
                ManageAccounts,
                ListPatients,
                ReadPatient,
                CreatePatient,
                RegisterWithoutWelcome,
                UpdatePatient,
                DeletePatient,
                RestrictPatient,
                SeeRestrictedPatients,
                ReadBillingAccount,
                ReadAnalytics,
                ReadNotifications,
                ReadAuditTrail,
            ],
            Self::Clinician => &[
                EndOwnSessions,
                ChangeOwnPassword,
                ReadOwnAccount,
                ListPatients,
                ReadPatient,
                CreatePatient,
                UpdatePatient,
                OpenInEmergency,
                ReadAnalytics,
            ],
            Self::Receptionist => &[
                EndOwnSessions,
                ChangeOwnPassword,
                ReadOwnAccount,
                ListPatients,
                ReadPatient,
                CreatePatient,
                UpdatePatient,
                ReadBillingAccount,
                ReadNotifications,
            ],
            Self::Auditor => &[
                EndOwnSessions,
                ChangeOwnPassword,
                ReadOwnAccount,
                ReadAccounts,
                ListPatients,
                ReadPatient,
                SeeRestrictedPatients,
                ReadBillingAccount,
                ReadAnalytics,
                ReadNotifications,
                ReadAuditTrail,
            ],
        }
    }

    /// Whether the role allows it.
    #[must_use]
    pub fn may(self, permission: Permission) -> bool {
        self.permissions().contains(&permission)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|role| role.name() == name)
            .ok_or(UnknownRole)
    }
}

/// Something that a use case lets only some roles do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Permission {
    /// Log out, of one session or all.
    EndOwnSessions,
    /// Change the password that one logs in with.
    ChangeOwnPassword,
    /// See one's own account, and what one may do.
    ReadOwnAccount,
    /// See who may log in, and as what.
    ReadAccounts,
    /// Give accounts, change roles, keep people out.
    ManageAccounts,
    /// See the list of patients.
    ListPatients,
    /// See one patient.
    ReadPatient,
    /// Register a patient.
    CreatePatient,
    /// Register a patient who is not welcomed, such as one from another system.
    RegisterWithoutWelcome,
    /// Change a patient's data.
    UpdatePatient,
    /// Remove a patient.
    DeletePatient,
    /// Close a patient's record to those who may not see restricted ones, or open it again.
    RestrictPatient,
    /// See patients whose record is restricted, and do with them what one may do with
    /// others.
    SeeRestrictedPatients,
    /// See a restricted patient in an emergency, for a reason that goes on record.
    OpenInEmergency,
    /// See a patient's billing account.
    ReadBillingAccount,
    /// See the counts of what happened to patients.
    ReadAnalytics,
    /// See which messages were sent to a patient.
    ReadNotifications,
    /// See who did what.
    ReadAuditTrail,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_is_read_by_its_exact_name() {
        for role in Role::ALL {
            assert_eq!(role.name().parse(), Ok(role));
        }
        for name in ["", "admin", "ADMIN ", "ROOT", "АDMIN"] {
            assert_eq!(name.parse::<Role>(), Err(UnknownRole), "{name}");
        }
    }
}
