//! Why billing refuses a change.

use serde::Serialize;
use utoipa::ToSchema;

/// Why billing refuses a change, in one word. Others may follow
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Serialize,
    ToSchema,
    strum::EnumString,
    strum::IntoStaticStr,
    strum::VariantArray,
)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum RefusalReason {
    /// The patient is deleted, and their account is closed.
    AccountClosed,
    /// It was done before, and the response to it was erased with the patient.
    AnswerErased,
    /// Whoever asked for it cannot decide about it.
    SecondPersonRequired,
    /// The charge is on an invoice that was issued.
    ChargeInvoiced,
    /// The charge is cancelled already.
    ChargeCancelled,
    /// A charge is not billable, not the patient's, or on another invoice.
    ChargeNotBillable,
    /// There is nothing to be put on an invoice.
    NothingBillable,
    /// It is about two currencies at once.
    MixedCurrencies,
    /// The invoice is not a draft any more.
    InvoiceNotDraft,
    /// The invoice is still a draft, or void.
    InvoiceNotIssued,
    /// The draft has no lines.
    InvoiceEmpty,
    /// The patient has no e-mail address.
    NoEmailAddress,
    /// The patient's record is restricted: nothing is sent to them.
    PatientRestricted,
    /// There is a credit note about the invoice.
    InvoiceCredited,
    /// The invoice was written off.
    InvoiceWrittenOff,
    /// The amount is more than can still be credited.
    CreditExceedsInvoice,
    /// Nothing is due on the invoice.
    NothingDue,
    /// It would come to more than any amount may be.
    AmountTooLarge,
    /// A payment with this method and reference was recorded before.
    PaymentKnown,
    /// The payment was reversed.
    PaymentReversed,
    /// A refund of the payment is under way, or done.
    PaymentRefunded,
    /// The amount is more than what is left of the payment.
    CreditExceeded,
    /// The amount is more than what is due on the invoice.
    DueExceeded,
    /// The refund is decided about already.
    RefundNotRequested,
    /// The refund is not approved, or paid out already.
    RefundNotApproved,
    /// The refund was rejected or paid out already.
    RefundClosed,
    /// Nobody has asked to write the invoice off, or it is decided already.
    WriteOffNotRequested,
}

impl RefusalReason {
    /// All of them.
    pub const ALL: &[Self] = <Self as strum::VariantArray>::VARIANTS;

    /// The name in the API.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }
}
