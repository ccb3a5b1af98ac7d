//! What the routes of billing answer: in the words of the billing service.

use api::{Problem, ProblemType};

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

const CONFLICTS: &[Said] = &[
    (
        "account-closed",
        "The patient's account is closed",
        &["record-charge", "send-invoice"],
    ),
    (
        "no-email-address",
        "The patient has no e-mail address",
        &["send-invoice"],
    ),
    (
        "patient-restricted",
        "The patient's record is restricted: nothing is sent to them by e-mail",
        &["send-invoice"],
    ),
    ("charge-invoiced", "It is invoiced", &["cancel-charge"]),
    (
        "charge-cancelled",
        "It is cancelled already",
        &["cancel-charge"],
    ),
    (
        "nothing-billable",
        "There is nothing to be put on an invoice",
        &["draft-invoice"],
    ),
    (
        "charge-not-billable",
        "Not every charge can be put on an invoice: it has to be the patient's, billable, and on no other",
        &["draft-invoice", "update-invoice"],
    ),
    (
        "invoice-not-draft",
        "The invoice is not a draft",
        &["issue-invoice", "update-invoice", "delete-invoice"],
    ),
    (
        "invoice-empty",
        "The invoice has no line",
        &["issue-invoice"],
    ),
    (
        "invoice-not-issued",
        "The invoice is not issued, or void",
        &[
            "credit-invoice",
            "write-off-invoice",
            "record-payment",
            "send-invoice",
        ],
    ),
    (
        "invoice-void",
        "The invoice is not issued, or void already",
        &["void-invoice"],
    ),
    (
        "invoice-credited",
        "A credit note was issued about the invoice",
        &["void-invoice"],
    ),
    (
        "invoice-written-off",
        "The invoice was written off",
        &["void-invoice"],
    ),
    (
        "credit-exceeds-invoice",
        "There is not so much of the invoice left to be credited",
        &["credit-invoice"],
    ),
    ("nothing-due", "Nothing is due", &["write-off-invoice"]),
    (
        "write-off-takes-two",
        "Another person has to grant what you have asked for",
        &["write-off-invoice"],
    ),
    (
        "write-off-not-requested",
        "Nobody has asked to write the invoice off",
        &["reject-write-off"],
    ),
    (
        "payment-known",
        "A payment with this method and reference is recorded already",
        &["record-payment"],
    ),
    (
        "due-exceeded",
        "The invoice does not need so much",
        &["allocate-payment"],
    ),
    (
        "credit-exceeded",
        "There is not so much left of the payment",
        &["allocate-payment", "request-refund"],
    ),
    (
        "payment-reversed",
        "The payment was reversed",
        &["allocate-payment", "reverse-payment", "request-refund"],
    ),
    (
        "payment-refunded",
        "A refund of the payment is under way, or done",
        &["reverse-payment"],
    ),
    (
        "refund-decided",
        "It was decided about the refund already",
        &["approve-refund"],
    ),
    (
        "approval-takes-two",
        "Another person has to approve what you have asked for",
        &["approve-refund"],
    ),
    (
        "refund-closed",
        "The refund was rejected or paid out already",
        &["reject-refund"],
    ),
    (
        "refund-not-approved",
        "The refund is not approved, or paid out already",
        &["complete-refund"],
    ),
];

pub(super) fn cases() -> impl Iterator<Item = Case> {
    let case = |(name, detail, functions): &Said, problem: fn(String) -> Problem| {
        Case::new(name, detail, problem((*detail).to_owned())).on(&[functions])
    };
    let missing = MISSING
        .iter()
        .map(move |said| case(said, Problem::not_found));
    let conflicts = CONFLICTS
        .iter()
        .map(move |said| case(said, |detail| Problem::new(ProblemType::Conflict, detail)));
    missing.chain(conflicts)
}
