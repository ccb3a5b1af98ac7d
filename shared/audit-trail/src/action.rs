//! What can be done that leaves a record.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What was done, or was to be done.
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
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE", parse_err_ty = UnknownAction, parse_err_fn = UnknownAction::of)]
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
    /// A patient who had been removed was restored.
    RestorePatient,
    /// A patient was erased, with everything that was known of them.
    ErasePatient,
    /// The history of a patient, or one version of them, was looked at.
    ReadPatientHistory,
    /// Patients were looked for. What was asked is not on record, only who was found.
    SearchPatients,
    /// A patient's record was closed to most of the staff, or opened again.
    RestrictPatient,
    /// Who is related to a patient, or lives with them, was looked at.
    ReadFamily,
    /// Who is related to a patient, or lives with them, was changed.
    ChangeFamily,
    /// Groups of patients, or who is in them, were looked at.
    ReadGroups,
    /// A group of patients, or who is in it, was changed.
    ChangeGroup,
    /// Patients were imported from a file, or such an import was looked at.
    ImportPatients,
    /// Patients were exported to a file, or such an export was looked at.
    ExportPatients,
    /// Patients who may be one were looked at.
    FindDuplicates,
    /// Two patients were said not to be one, or that was taken back.
    DecideDuplicate,
    /// Two records of one patient were merged.
    MergePatients,
    /// A merge of two records was undone.
    UndoMerge,
    /// A restricted patient was looked at in an emergency, for a stated reason.
    EmergencyAccess,
    /// A patient's billing account was looked at.
    ReadBillingAccount,
    /// A price was set.
    SetPrice,
    /// Prices were looked at. Only refusals are recorded.
    ReadPrices,
    /// A charge was put on a patient's account.
    RecordCharge,
    /// A charge was cancelled.
    CancelCharge,
    /// Charges were looked at.
    ReadCharges,
    /// A draft of an invoice was made, changed or deleted.
    DraftInvoice,
    /// An invoice was issued.
    IssueInvoice,
    /// Somebody had an invoice sent to the patient.
    SendInvoice,
    /// An invoice was taken back.
    VoidInvoice,
    /// A credit note was issued.
    CreditInvoice,
    /// What was due of an invoice was given up, or somebody asked for that.
    WriteOffInvoice,
    /// What was due of an invoice is not given up, although somebody had asked for that.
    RejectWriteOff,
    /// Invoices were looked at.
    ReadInvoices,
    /// A payment was recorded.
    RecordPayment,
    /// What was left of a payment was used for invoices.
    AllocatePayment,
    /// A payment that never arrived was taken back.
    ReversePayment,
    /// Payments were looked at.
    ReadPayments,
    /// Somebody asked for a refund.
    RequestRefund,
    /// A refund was approved.
    ApproveRefund,
    /// A refund was refused.
    RejectRefund,
    /// A refund was paid out.
    CompleteRefund,
    /// Refunds were looked at.
    ReadRefunds,
    /// What happened on a patient's account was looked at.
    ReadStatement,
    /// Somebody had a statement sent to the patient.
    SendStatement,
    /// What patients owe, what was earned or what came in was looked at.
    ReadBillingReports,
    /// The ledger was exported.
    ExportLedger,
    /// The messages to a patient were looked at.
    ReadNotifications,
    /// Locations, resources, services, hours or closures were set up.
    ConfigureSchedule,
    /// Locations, resources, services or free slots were looked at. Only refusals are recorded.
    ReadSchedule,
    /// Somebody or something was recorded as absent.
    RecordAbsence,
    /// Appointments were looked at.
    ReadAppointments,
    /// An appointment was booked or held, or a series of them was.
    BookAppointment,
    /// A held appointment was confirmed.
    ConfirmAppointment,
    /// An appointment was moved.
    RescheduleAppointment,
    /// An appointment was cancelled.
    CancelAppointment,
    /// A patient answered with the link in a message whether they would come.
    AnswerAppointmentLink,
    /// A patient was recorded as having come.
    RecordArrival,
    /// An appointment was recorded as having taken place.
    FulfilAppointment,
    /// A patient was recorded as not having come.
    RecordNoShow,
    /// The waitlist was looked at.
    ReadWaitlist,
    /// A patient was put on the waitlist, or taken off it.
    ChangeWaitlist,
    /// How a patient wants to be reached was looked at.
    ReadNotificationPreferences,
    /// How a patient wants to be reached was changed.
    ChangeNotificationPreferences,
    /// What messages to patients say was changed.
    ChangeNotificationTemplate,
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

impl UnknownAction {
    const fn of(_: &str) -> Self {
        Self
    }
}

impl Action {
    /// Every action.
    pub const ALL: &[Self] = <Self as strum::VariantArray>::VARIANTS;

    /// The name in the database and the API.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_action_has_one_name_everywhere() {
        for &action in Action::ALL {
            assert_eq!(action.name().parse(), Ok(action));
            let json = format!("\"{}\"", action.name());
            assert_eq!(serde_json::from_str::<Action>(&json).unwrap(), action);
        }
    }
}
