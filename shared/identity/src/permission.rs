//! The permission table: the only place that says which role may do what.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A user's role, which determines what they may do.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    Deserialize,
    ToSchema,
    strum::Display,
    strum::EnumString,
    strum::IntoStaticStr,
    strum::VariantArray,
)]
#[serde(rename_all = "UPPERCASE")]
#[strum(serialize_all = "UPPERCASE", parse_err_ty = UnknownRole, parse_err_fn = UnknownRole::of)]
pub enum Role {
    /// Runs the system: may do everything but open records in an emergency.
    Admin,
    /// Treats patients: their records, not the bookkeeping about them.
    Clinician,
    /// Registers patients and keeps their data up to date.
    Receptionist,
    /// Reads, and changes nothing.
    Auditor,
}

/// There is no role of this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no such role")]
pub struct UnknownRole;

impl UnknownRole {
    const fn of(_: &str) -> Self {
        Self
    }
}

impl Role {
    /// Every role.
    pub const ALL: &[Self] = <Self as strum::VariantArray>::VARIANTS;

    /// The name in tokens, the database and the API.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// The permissions of the role.
    #[must_use]
    #[expect(clippy::too_many_lines, reason = "it is a table")]
    pub const fn permissions(self) -> &'static [Permission] {
        use Permission::{
            ApproveRefunds, ChangeNotificationPreferences, ChangeOwnPassword, CompleteRefunds,
            CorrectInvoices, CreatePatient, DeletePatient, EndOwnSessions, ErasePatient,
            ExportLedger, ExportPatients, ImportPatients, ListPatients, ManageAccounts,
            ManageAppointments, ManageCharges, ManageInvoices, ManageNotificationTemplates,
            ManagePrices, ManageSchedules, MergePatients, OpenInEmergency, Overbook, ReadAccounts,
            ReadAnalytics, ReadAppointments, ReadAuditTrail, ReadBillingAccount,
            ReadBillingReports, ReadCharges, ReadInvoices, ReadNotificationPreferences,
            ReadNotifications, ReadOwnAccount, ReadPatient, ReadPrices, ReadSchedules,
            RecordAbsences, RecordPayments, RegisterWithoutWelcome, RequestRefunds,
            RestrictPatient, ReversePayments, SeeDeletedPatients, SeeRestrictedPatients,
            UpdatePatient, WriteOffInvoices,
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
                SeeDeletedPatients,
                ErasePatient,
                RestrictPatient,
                ImportPatients,
                ExportPatients,
                MergePatients,
                SeeRestrictedPatients,
                ReadBillingAccount,
                ReadPrices,
                ManagePrices,
                ReadCharges,
                ManageCharges,
                ReadInvoices,
                ManageInvoices,
                CorrectInvoices,
                WriteOffInvoices,
                RecordPayments,
                ReversePayments,
                RequestRefunds,
                ApproveRefunds,
                CompleteRefunds,
                ReadBillingReports,
                ExportLedger,
                ReadSchedules,
                ManageSchedules,
                RecordAbsences,
                ReadAppointments,
                ManageAppointments,
                Overbook,
                ReadAnalytics,
                ReadNotifications,
                ReadNotificationPreferences,
                ChangeNotificationPreferences,
                ManageNotificationTemplates,
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
                ReadPrices,
                ReadCharges,
                ManageCharges,
                ReadSchedules,
                RecordAbsences,
                ReadAppointments,
                ManageAppointments,
                Overbook,
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
                ReadPrices,
                ReadCharges,
                ManageCharges,
                ReadInvoices,
                ManageInvoices,
                RecordPayments,
                RequestRefunds,
                CompleteRefunds,
                ReadSchedules,
                RecordAbsences,
                ReadAppointments,
                ManageAppointments,
                ReadNotifications,
                ReadNotificationPreferences,
                ChangeNotificationPreferences,
            ],
            Self::Auditor => &[
                EndOwnSessions,
                ChangeOwnPassword,
                ReadOwnAccount,
                ReadAccounts,
                ListPatients,
                ReadPatient,
                SeeDeletedPatients,
                SeeRestrictedPatients,
                ReadBillingAccount,
                ReadPrices,
                ReadCharges,
                ReadInvoices,
                ReadBillingReports,
                ExportLedger,
                ReadSchedules,
                ReadAppointments,
                ReadAnalytics,
                ReadNotifications,
                ReadNotificationPreferences,
                ReadAuditTrail,
            ],
        }
    }

    /// Whether the role has this permission.
    #[must_use]
    pub fn may(self, permission: Permission) -> bool {
        self.permissions().contains(&permission)
    }
}

/// Something that only some roles may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Permission {
    /// Log out, of one session or all.
    EndOwnSessions,
    /// Change one's own password.
    ChangeOwnPassword,
    /// See one's own account and permissions.
    ReadOwnAccount,
    /// See the accounts and their roles.
    ReadAccounts,
    /// Create accounts, change roles, disable accounts.
    ManageAccounts,
    /// See the list of patients.
    ListPatients,
    /// See one patient.
    ReadPatient,
    /// Register a patient.
    CreatePatient,
    /// Register a patient who gets no welcome message, such as one from another system.
    RegisterWithoutWelcome,
    /// Change a patient's data.
    UpdatePatient,
    /// Delete a patient, or restore one.
    DeletePatient,
    /// See who was deleted, and what was known of them.
    SeeDeletedPatients,
    /// Erase a deleted patient for good.
    ErasePatient,
    /// Restrict a patient's record, or lift the restriction.
    RestrictPatient,
    /// Import patients from a file.
    ImportPatients,
    /// Export patients to a file.
    ExportPatients,
    /// Merge two records of one patient, and undo it.
    MergePatients,
    /// See restricted patients, and do with them whatever one may do with others.
    SeeRestrictedPatients,
    /// See a restricted patient in an emergency, for a reason that is recorded.
    OpenInEmergency,
    /// See a patient's billing account.
    ReadBillingAccount,
    /// See the prices.
    ReadPrices,
    /// Set prices.
    ManagePrices,
    /// See what patients are charged for.
    ReadCharges,
    /// Charge a patient for something by hand, and cancel a charge that is not invoiced.
    ManageCharges,
    /// See invoices, and a patient's statement.
    ReadInvoices,
    /// Draft and issue invoices.
    ManageInvoices,
    /// Void an issued invoice, or credit a part of it.
    CorrectInvoices,
    /// Give up what is due on an invoice.
    WriteOffInvoices,
    /// Record payments, and say which invoices they are for.
    RecordPayments,
    /// Reverse a payment, such as one that bounced.
    ReversePayments,
    /// Ask for money to be paid back.
    RequestRefunds,
    /// Approve or reject a refund. Above the clinic's limit, one's own request has to be approved by
    /// somebody else.
    ApproveRefunds,
    /// Record that money was paid back, once that is approved.
    CompleteRefunds,
    /// See what is due, and what was earned and taken.
    ReadBillingReports,
    /// Export the ledger.
    ExportLedger,
    /// See locations, resources, services, and when they are free.
    ReadSchedules,
    /// Set up locations, resources, services, hours and closures.
    ManageSchedules,
    /// Record that somebody or something is absent.
    RecordAbsences,
    /// See appointments and the waitlist.
    ReadAppointments,
    /// Book, move and cancel appointments, record who came, and keep the waitlist.
    ManageAppointments,
    /// Book what is not free, for a reason that is recorded.
    Overbook,
    /// See the statistics on patients and appointments.
    ReadAnalytics,
    /// See which messages were sent to a patient.
    ReadNotifications,
    /// See how a patient wants to be reached.
    ReadNotificationPreferences,
    /// Change how a patient wants to be reached.
    ChangeNotificationPreferences,
    /// Write what messages to patients say.
    ManageNotificationTemplates,
    /// See the audit trail.
    ReadAuditTrail,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_is_read_by_its_exact_name() {
        for &role in Role::ALL {
            assert_eq!(role.name().parse(), Ok(role));
        }
        for name in ["", "admin", "ADMIN ", "ROOT", "АDMIN"] {
            assert_eq!(name.parse::<Role>(), Err(UnknownRole), "{name}");
        }
    }
}
