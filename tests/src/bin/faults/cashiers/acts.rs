//! What the cashiers did, as they were told.

use serde::Serialize;
use uuid::Uuid;

use super::EventKind;

/// A kind of change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Kind {
    Charge,
    CancelCharge,
    Draft,
    Issue,
    Void,
    Credit,
    AskToWriteOff,
    WriteOff,
    Pay,
    Allocate,
    Reverse,
    AskForRefund,
    ApproveRefund,
    RejectRefund,
    CompleteRefund,
}

/// How a change is booked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Booked {
    /// The kind of its entry in the ledger.
    pub(crate) entry: &'static str,
    /// The kind of its event.
    pub(crate) event: EventKind,
    /// Whether the patient owes more by it, 1, or less, -1.
    pub(crate) sign: i64,
}

impl Kind {
    /// Its name in the report.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Charge => "charges recorded",
            Self::CancelCharge => "charges cancelled",
            Self::Draft => "invoices drafted",
            Self::Issue => "invoices issued",
            Self::Void => "invoices voided",
            Self::Credit => "credit notes",
            Self::AskToWriteOff => "write-offs asked for",
            Self::WriteOff => "invoices written off",
            Self::Pay => "payments",
            Self::Allocate => "payments allocated",
            Self::Reverse => "payments reversed",
            Self::AskForRefund => "refunds asked for",
            Self::ApproveRefund => "refunds approved",
            Self::RejectRefund => "refunds rejected",
            Self::CompleteRefund => "refunds completed",
        }
    }

    /// The function that does it.
    pub(crate) const fn function(self) -> &'static str {
        match self {
            Self::Charge => "record-charge",
            Self::CancelCharge => "cancel-charge",
            Self::Draft => "draft-invoice",
            Self::Issue => "issue-invoice",
            Self::Void => "void-invoice",
            Self::Credit => "credit-invoice",
            Self::AskToWriteOff | Self::WriteOff => "write-off-invoice",
            Self::Pay => "record-payment",
            Self::Allocate => "allocate-payment",
            Self::Reverse => "reverse-payment",
            Self::AskForRefund => "request-refund",
            Self::ApproveRefund => "approve-refund",
            Self::RejectRefund => "reject-refund",
            Self::CompleteRefund => "complete-refund",
        }
    }

    /// What the audit trail calls it.
    pub(crate) const fn action(self) -> &'static str {
        match self {
            Self::Charge => "RECORD_CHARGE",
            Self::CancelCharge => "CANCEL_CHARGE",
            Self::Draft => "DRAFT_INVOICE",
            Self::Issue => "ISSUE_INVOICE",
            Self::Void => "VOID_INVOICE",
            Self::Credit => "CREDIT_INVOICE",
            Self::AskToWriteOff | Self::WriteOff => "WRITE_OFF_INVOICE",
            Self::Pay => "RECORD_PAYMENT",
            Self::Allocate => "ALLOCATE_PAYMENT",
            Self::Reverse => "REVERSE_PAYMENT",
            Self::AskForRefund => "REQUEST_REFUND",
            Self::ApproveRefund => "APPROVE_REFUND",
            Self::RejectRefund => "REJECT_REFUND",
            Self::CompleteRefund => "COMPLETE_REFUND",
        }
    }

    /// How it is booked, if it moves what a patient owes.
    pub(crate) const fn booked(self) -> Option<Booked> {
        let (entry, event, sign) = match self {
            Self::Issue => ("INVOICE_ISSUED", EventKind::InvoiceIssued, 1),
            Self::Void => ("INVOICE_VOIDED", EventKind::InvoiceVoided, -1),
            Self::Credit => ("CREDIT_NOTE_ISSUED", EventKind::CreditNoteIssued, -1),
            Self::WriteOff => ("INVOICE_WRITTEN_OFF", EventKind::InvoiceWrittenOff, -1),
            Self::Pay => ("PAYMENT_RECORDED", EventKind::PaymentRecorded, -1),
            Self::Reverse => ("PAYMENT_REVERSED", EventKind::PaymentReversed, 1),
            Self::CompleteRefund => ("REFUND_COMPLETED", EventKind::RefundCompleted, 1),
            _ => return None,
        };
        Some(Booked { entry, event, sign })
    }

    /// Whether it leaves any entry in the ledger.
    pub(crate) const fn is_in_ledger(self) -> bool {
        self.booked().is_some() || matches!(self, Self::Allocate)
    }
}

/// A change that was acknowledged.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Act {
    /// Its name in the report.
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) patient: Uuid,
    /// What it made or changed: a charge, an invoice, a credit note, a payment or a refund.
    pub(crate) document: Uuid,
    /// What the audit trail says that it was about: of a credit note, it is the invoice.
    pub(crate) resource: Uuid,
    /// How much it was about, in cents.
    pub(crate) amount: i64,
    /// The number of the invoice or credit note that it issued.
    pub(crate) number: Option<String>,
    pub(crate) key: Uuid,
    /// How often the request was sent, in all.
    pub(crate) sent: u32,
    /// How often the answer said that it was a repetition.
    pub(crate) replays: u32,
    /// What the same request was answered later.
    pub(crate) repetition: Option<Repetition>,
}

/// The answer to a request that was answered before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Repetition {
    /// The status and the body.
    pub(crate) answer: String,
    /// Whether it was the first answer.
    pub(crate) is_the_same: bool,
    /// Whether it says that it is a repetition.
    pub(crate) says_so: bool,
}

/// An appointment that has ended.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Appointment {
    pub(crate) id: Uuid,
    pub(crate) patient: Uuid,
    /// What it is charged as.
    pub(crate) code: String,
    /// Whether the code has a price.
    pub(crate) is_priced: bool,
    /// Whether it took place; if not, it was cancelled.
    pub(crate) took_place: bool,
}
