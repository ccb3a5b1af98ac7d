//! What the routes of billing answer: in the words of the billing service.

use api::{Problem, ProblemType, RefusalReason};

use super::Case;

/// Whose patient's record may be restricted.
pub(super) const OF_PATIENTS: &[&str] = &[
    "record-charge",
    "list-patient-charges",
    "get-charge",
    "cancel-charge",
    "draft-invoice",
    "get-invoice",
    "get-invoice-document",
    "list-invoices",
    "list-patient-invoices",
    "issue-invoice",
    "send-invoice",
    "void-invoice",
    "credit-invoice",
    "write-off-invoice",
    "reject-write-off",
    "update-invoice",
    "delete-invoice",
    "record-payment",
    "get-payment",
    "list-patient-payments",
    "allocate-payment",
    "reverse-payment",
    "list-refunds",
    "get-refund",
    "request-refund",
    "approve-refund",
    "reject-refund",
    "complete-refund",
    "get-statement",
    "get-statement-document",
    "send-statement",
];

/// The name of the case, what is said, and the functions.
type Said = (&'static str, &'static str, &'static [&'static str]);

const MISSING: &[Said] = &[
    (
        "no-billing-account",
        "The patient has no billing account",
        &[
            "record-charge",
            "draft-invoice",
            "record-payment",
            "get-statement",
            "get-statement-document",
            "send-statement",
        ],
    ),
    (
        "charge-not-found",
        "There is no such charge",
        &["get-charge", "cancel-charge"],
    ),
    (
        "invoice-not-found",
        "There is no such invoice",
        &[
            "get-invoice",
            "get-invoice-document",
            "issue-invoice",
            "send-invoice",
            "void-invoice",
            "credit-invoice",
            "write-off-invoice",
            "reject-write-off",
            "update-invoice",
            "delete-invoice",
        ],
    ),
    (
        "payment-not-found",
        "There is no such payment",
        &[
            "get-payment",
            "allocate-payment",
            "reverse-payment",
            "request-refund",
        ],
    ),
    (
        "refund-not-found",
        "There is no such refund",
        &[
            "get-refund",
            "approve-refund",
            "reject-refund",
            "complete-refund",
        ],
    ),
];

/// What changes something of a patient: of who was erased, no answer is repeated.
const CHANGES: &[&str] = &[
    "record-charge",
    "cancel-charge",
    "draft-invoice",
    "update-invoice",
    "delete-invoice",
    "issue-invoice",
    "send-invoice",
    "void-invoice",
    "credit-invoice",
    "write-off-invoice",
    "reject-write-off",
    "record-payment",
    "allocate-payment",
    "reverse-payment",
    "request-refund",
    "approve-refund",
    "reject-refund",
    "complete-refund",
    "send-statement",
];

/// The name of the case, the reason, what is said, and the functions.
type Conflict = (
    &'static str,
    RefusalReason,
    &'static str,
    &'static [&'static str],
);

const CONFLICTS: &[Conflict] = &[
    (
        "account-closed",
        RefusalReason::AccountClosed,
        "The patient's account is closed",
        &["record-charge", "send-invoice", "send-statement"],
    ),
    (
        "no-email-address",
        RefusalReason::NoEmailAddress,
        "The patient has no e-mail address",
        &["send-invoice", "send-statement"],
    ),
    (
        "patient-restricted",
        RefusalReason::PatientRestricted,
        "The patient's record is restricted: nothing is sent to them by e-mail",
        &["send-invoice", "send-statement"],
    ),
    (
        "charge-invoiced",
        RefusalReason::ChargeInvoiced,
        "The charge has already been invoiced",
        &["cancel-charge"],
    ),
    (
        "charge-cancelled",
        RefusalReason::ChargeCancelled,
        "The charge has already been cancelled",
        &["cancel-charge"],
    ),
    (
        "nothing-billable",
        RefusalReason::NothingBillable,
        "There is nothing to be put on an invoice",
        &["draft-invoice"],
    ),
    (
        "charge-not-billable",
        RefusalReason::ChargeNotBillable,
        "Not every charge can be put on an invoice: it has to be the patient's, billable, and on no other",
        &["draft-invoice", "update-invoice"],
    ),
    (
        "invoice-not-draft",
        RefusalReason::InvoiceNotDraft,
        "The invoice is not a draft",
        &["issue-invoice", "update-invoice", "delete-invoice"],
    ),
    (
        "invoice-empty",
        RefusalReason::InvoiceEmpty,
        "The invoice has no line",
        &["issue-invoice"],
    ),
    (
        "invoice-not-issued",
        RefusalReason::InvoiceNotIssued,
        "The invoice is not issued, or void",
        &[
            "credit-invoice",
            "write-off-invoice",
            "record-payment",
            "allocate-payment",
            "send-invoice",
        ],
    ),
    (
        "invoice-void",
        RefusalReason::InvoiceNotIssued,
        "The invoice is not issued, or void already",
        &["void-invoice"],
    ),
    (
        "invoice-credited",
        RefusalReason::InvoiceCredited,
        "A credit note was issued about the invoice",
        &["void-invoice"],
    ),
    (
        "invoice-written-off",
        RefusalReason::InvoiceWrittenOff,
        "The invoice was written off",
        &["void-invoice"],
    ),
    (
        "credit-exceeds-invoice",
        RefusalReason::CreditExceedsInvoice,
        "The amount is more than can still be credited",
        &["credit-invoice"],
    ),
    (
        "nothing-due",
        RefusalReason::NothingDue,
        "Nothing is due",
        &["write-off-invoice"],
    ),
    (
        "write-off-takes-two",
        RefusalReason::SecondPersonRequired,
        "Another person has to grant what you have asked for",
        &["write-off-invoice"],
    ),
    (
        "write-off-not-requested",
        RefusalReason::WriteOffNotRequested,
        "Nobody has asked to write the invoice off",
        &["reject-write-off"],
    ),
    (
        "payment-known",
        RefusalReason::PaymentKnown,
        "A payment with this method and reference is recorded already",
        &["record-payment"],
    ),
    (
        "due-exceeded",
        RefusalReason::DueExceeded,
        "The amount is more than what is due on the invoice",
        &["allocate-payment"],
    ),
    (
        "credit-exceeded",
        RefusalReason::CreditExceeded,
        "The amount is more than what is left of the payment",
        &["allocate-payment", "request-refund"],
    ),
    (
        "payment-reversed",
        RefusalReason::PaymentReversed,
        "The payment was reversed",
        &["allocate-payment", "reverse-payment", "request-refund"],
    ),
    (
        "payment-refunded",
        RefusalReason::PaymentRefunded,
        "A refund of the payment is under way, or done",
        &["reverse-payment"],
    ),
    (
        "refund-decided",
        RefusalReason::RefundNotRequested,
        "The refund has already been decided",
        &["approve-refund"],
    ),
    (
        "approval-takes-two",
        RefusalReason::SecondPersonRequired,
        "Another person has to approve what you have asked for",
        &["approve-refund"],
    ),
    (
        "refund-closed",
        RefusalReason::RefundClosed,
        "The refund was rejected or paid out already",
        &["reject-refund"],
    ),
    (
        "refund-not-approved",
        RefusalReason::RefundNotApproved,
        "The refund is not approved, or paid out already",
        &["complete-refund"],
    ),
    (
        "answer-erased",
        RefusalReason::AnswerErased,
        "This request has already taken effect, and its response was erased with the patient",
        CHANGES,
    ),
    (
        "mixed-currencies",
        RefusalReason::MixedCurrencies,
        "The charges are in different currencies",
        &["draft-invoice", "update-invoice"],
    ),
    (
        "draft-in-another-currency",
        RefusalReason::MixedCurrencies,
        "The draft is in another currency",
        &["update-invoice"],
    ),
    (
        "invoice-too-large",
        RefusalReason::AmountTooLarge,
        "The invoice comes to more than any amount may be",
        &["draft-invoice", "update-invoice"],
    ),
    (
        "charge-too-large",
        RefusalReason::AmountTooLarge,
        "The charge comes to more than any amount may be",
        &["record-charge"],
    ),
    (
        "charges-of-another-patient",
        RefusalReason::ChargeNotBillable,
        "The draft has charges of another patient: change it, or give it up",
        &["issue-invoice"],
    ),
];

pub(super) fn cases() -> impl Iterator<Item = Case> {
    let missing = MISSING.iter().map(|(name, detail, functions)| {
        Case::new(name, detail, Problem::not_found(*detail)).on(&[functions])
    });
    let conflicts = CONFLICTS.iter().map(|(name, reason, detail, functions)| {
        let problem = Problem::new(ProblemType::Conflict, *detail).because(*reason);
        Case::new(name, detail, problem).on(&[functions])
    });
    missing.chain(conflicts)
}
