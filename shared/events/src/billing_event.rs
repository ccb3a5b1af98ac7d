//! What happened in billing, as the rest of the system learns of it.

use chrono::{DateTime, NaiveDate, Utc};
use contracts::{BILLING_EVENTS_TOPIC, billing::v1};
use prost::Message as _;
use uuid::Uuid;

use crate::{
    Event, Mark, Undecodable,
    wire::{instant, timestamp},
};

/// Something that happened in billing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BillingEvent {
    /// Consumers act once per id.
    pub id: Uuid,
    /// When the change was committed, to the microsecond.
    pub occurred_at: DateTime<Utc>,
    /// The patient.
    pub patient_id: Uuid,
    /// The day of the clinic's calendar on which it was booked.
    pub business_date: NaiveDate,
    /// What happened.
    pub change: BillingChange,
}

/// An amount of money: the code of a currency, and how many of its smallest unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Amount {
    /// The code of ISO 4217.
    pub currency: String,
    /// In the smallest unit of the currency.
    pub minor_units: i64,
}

/// How money came in or went out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Coins and notes.
    Cash,
    /// A card.
    Card,
    /// From one bank account to another.
    Transfer,
}

/// What happened. Each of these happens once to what it names, but for
/// [`InvoiceDueChanged`](Self::InvoiceDueChanged).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BillingChange {
    /// An invoice was issued.
    InvoiceIssued {
        /// The invoice.
        invoice: Uuid,
        /// What it asks for.
        total: Amount,
        /// What of it is tax; 0 in events of the time before it was told.
        tax: Amount,
        /// What of it is left to be paid.
        due: Amount,
        /// Until when.
        due_date: NaiveDate,
    },
    /// An invoice was taken back.
    InvoiceVoided {
        /// The invoice.
        invoice: Uuid,
        /// What it asked for.
        total: Amount,
        /// What of it was tax, as above.
        tax: Amount,
    },
    /// What was due of an invoice was given up.
    InvoiceWrittenOff {
        /// The invoice.
        invoice: Uuid,
        /// What was given up.
        amount: Amount,
    },
    /// A credit note was issued.
    CreditNoteIssued {
        /// The credit note.
        credit_note: Uuid,
        /// The invoice that it is about.
        invoice: Uuid,
        /// What it takes off.
        total: Amount,
        /// What of it is tax, as above.
        tax: Amount,
    },
    /// A payment was recorded.
    PaymentRecorded {
        /// The payment.
        payment: Uuid,
        /// How much.
        amount: Amount,
        /// How.
        method: Method,
    },
    /// A payment was taken back that never arrived.
    PaymentReversed {
        /// The payment.
        payment: Uuid,
        /// How much.
        amount: Amount,
        /// How it was paid.
        method: Method,
    },
    /// A refund was paid out.
    RefundCompleted {
        /// The refund.
        refund: Uuid,
        /// The payment that it is of.
        payment: Uuid,
        /// How much.
        amount: Amount,
        /// How it was paid out.
        method: Method,
    },
    /// What is due of an invoice has become more or less, for whatever reason. The sum of all changes
    /// up to a day is what was due then.
    InvoiceDueChanged {
        /// The invoice.
        invoice: Uuid,
        /// How much more is due than before; less than 0 if it is less.
        change: Amount,
        /// What is due now.
        due: Amount,
        /// Until when.
        due_date: NaiveDate,
    },
}

impl BillingChange {
    /// The kind of change in one word, for logs and counters.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::InvoiceIssued { .. } => "invoice-issued",
            Self::InvoiceVoided { .. } => "invoice-voided",
            Self::InvoiceWrittenOff { .. } => "invoice-written-off",
            Self::CreditNoteIssued { .. } => "credit-note-issued",
            Self::PaymentRecorded { .. } => "payment-recorded",
            Self::PaymentReversed { .. } => "payment-reversed",
            Self::RefundCompleted { .. } => "refund-completed",
            Self::InvoiceDueChanged { .. } => "invoice-due-changed",
        }
    }
}

impl Event for BillingEvent {
    const TOPIC: &'static str = BILLING_EVENTS_TOPIC;

    fn encode(&self) -> Vec<u8> {
        v1::BillingEvent {
            event_id: self.id.to_string(),
            occurred_at: Some(timestamp(self.occurred_at)),
            patient_id: self.patient_id.to_string(),
            business_date: self.business_date.to_string(),
            change: Some(self.change.clone().into()),
        }
        .encode_to_vec()
    }

    fn decode(bytes: &[u8]) -> Result<Self, Undecodable> {
        let event = v1::BillingEvent::decode(bytes).map_err(|_| Undecodable("not protobuf"))?;
        Ok(Self {
            id: id(&event.event_id, "event_id")?,
            occurred_at: instant(event.occurred_at, "occurred_at")?,
            patient_id: id(&event.patient_id, "patient_id")?,
            business_date: day(&event.business_date, "business_date")?,
            change: change(event.change.ok_or(Undecodable("change"))?)?,
        })
    }

    fn id(&self) -> Uuid {
        self.id
    }

    fn occurred_at(&self) -> DateTime<Utc> {
        self.occurred_at
    }

    fn kind(&self) -> &'static str {
        self.change.kind()
    }

    fn patient_id(&self) -> Uuid {
        self.patient_id
    }

    /// Each event has a mark of its own: none takes the place of another.
    fn mark(&self) -> Mark {
        Mark {
            about: self.id,
            version: 1,
            attribute: "billingEvent",
            over_at: Some(self.occurred_at),
        }
    }
}

impl From<Amount> for v1::Money {
    fn from(amount: Amount) -> Self {
        Self {
            currency_code: amount.currency,
            minor_units: amount.minor_units,
        }
    }
}

impl From<Method> for i32 {
    fn from(method: Method) -> Self {
        match method {
            Method::Cash => v1::PaymentMethod::Cash,
            Method::Card => v1::PaymentMethod::Card,
            Method::Transfer => v1::PaymentMethod::Transfer,
        }
        .into()
    }
}

impl From<BillingChange> for v1::billing_event::Change {
    fn from(change: BillingChange) -> Self {
        match change {
            BillingChange::InvoiceIssued {
                invoice,
                total,
                tax,
                due,
                due_date,
            } => Self::InvoiceIssued(v1::InvoiceIssued {
                invoice_id: invoice.to_string(),
                total: Some(total.into()),
                tax: Some(tax.into()),
                due: Some(due.into()),
                due_date: due_date.to_string(),
            }),
            BillingChange::InvoiceVoided {
                invoice,
                total,
                tax,
            } => Self::InvoiceVoided(v1::InvoiceVoided {
                invoice_id: invoice.to_string(),
                total: Some(total.into()),
                tax: Some(tax.into()),
            }),
            BillingChange::InvoiceWrittenOff { invoice, amount } => {
                Self::InvoiceWrittenOff(v1::InvoiceWrittenOff {
                    invoice_id: invoice.to_string(),
                    amount: Some(amount.into()),
                })
            }
            BillingChange::CreditNoteIssued {
                credit_note,
                invoice,
                total,
                tax,
            } => Self::CreditNoteIssued(v1::CreditNoteIssued {
                credit_note_id: credit_note.to_string(),
                invoice_id: invoice.to_string(),
                total: Some(total.into()),
                tax: Some(tax.into()),
            }),
            BillingChange::PaymentRecorded {
                payment,
                amount,
                method,
            } => Self::PaymentRecorded(v1::PaymentRecorded {
                payment_id: payment.to_string(),
                amount: Some(amount.into()),
                method: method.into(),
            }),
            BillingChange::PaymentReversed {
                payment,
                amount,
                method,
            } => Self::PaymentReversed(v1::PaymentReversed {
                payment_id: payment.to_string(),
                amount: Some(amount.into()),
                method: method.into(),
            }),
            BillingChange::RefundCompleted {
                refund,
                payment,
                amount,
                method,
            } => Self::RefundCompleted(v1::RefundCompleted {
                refund_id: refund.to_string(),
                payment_id: payment.to_string(),
                amount: Some(amount.into()),
                method: method.into(),
            }),
            BillingChange::InvoiceDueChanged {
                invoice,
                change,
                due,
                due_date,
            } => Self::InvoiceDueChanged(v1::InvoiceDueChanged {
                invoice_id: invoice.to_string(),
                change: Some(change.into()),
                due: Some(due.into()),
                due_date: due_date.to_string(),
            }),
        }
    }
}

fn change(wire: v1::billing_event::Change) -> Result<BillingChange, Undecodable> {
    use v1::billing_event::Change as Wire;
    Ok(match wire {
        Wire::InvoiceIssued(issued) => BillingChange::InvoiceIssued {
            invoice: id(&issued.invoice_id, "invoice_id")?,
            tax: tax(issued.tax, issued.total.as_ref()),
            total: amount(issued.total, "total")?,
            due: amount(issued.due, "due")?,
            due_date: day(&issued.due_date, "due_date")?,
        },
        Wire::InvoiceVoided(voided) => BillingChange::InvoiceVoided {
            invoice: id(&voided.invoice_id, "invoice_id")?,
            tax: tax(voided.tax, voided.total.as_ref()),
            total: amount(voided.total, "total")?,
        },
        Wire::InvoiceWrittenOff(written_off) => BillingChange::InvoiceWrittenOff {
            invoice: id(&written_off.invoice_id, "invoice_id")?,
            amount: amount(written_off.amount, "amount")?,
        },
        Wire::CreditNoteIssued(issued) => BillingChange::CreditNoteIssued {
            credit_note: id(&issued.credit_note_id, "credit_note_id")?,
            invoice: id(&issued.invoice_id, "invoice_id")?,
            tax: tax(issued.tax, issued.total.as_ref()),
            total: amount(issued.total, "total")?,
        },
        Wire::PaymentRecorded(recorded) => BillingChange::PaymentRecorded {
            method: method(recorded.method())?,
            payment: id(&recorded.payment_id, "payment_id")?,
            amount: amount(recorded.amount, "amount")?,
        },
        Wire::PaymentReversed(reversed) => BillingChange::PaymentReversed {
            method: method(reversed.method())?,
            payment: id(&reversed.payment_id, "payment_id")?,
            amount: amount(reversed.amount, "amount")?,
        },
        Wire::RefundCompleted(completed) => BillingChange::RefundCompleted {
            method: method(completed.method())?,
            refund: id(&completed.refund_id, "refund_id")?,
            payment: id(&completed.payment_id, "payment_id")?,
            amount: amount(completed.amount, "amount")?,
        },
        Wire::InvoiceDueChanged(changed) => BillingChange::InvoiceDueChanged {
            invoice: id(&changed.invoice_id, "invoice_id")?,
            change: amount(changed.change, "change")?,
            due: amount(changed.due, "due")?,
            due_date: day(&changed.due_date, "due_date")?,
        },
    })
}

fn id(text: &str, field: &'static str) -> Result<Uuid, Undecodable> {
    text.parse().map_err(|_| Undecodable(field))
}

fn day(text: &str, field: &'static str) -> Result<NaiveDate, Undecodable> {
    text.parse().map_err(|_| Undecodable(field))
}

fn amount(money: Option<v1::Money>, field: &'static str) -> Result<Amount, Undecodable> {
    let money = money.ok_or(Undecodable(field))?;
    Ok(Amount {
        currency: money.currency_code,
        minor_units: money.minor_units,
    })
}

/// The tax, or 0 in the currency of the total if it is not told.
fn tax(tax: Option<v1::Money>, total: Option<&v1::Money>) -> Amount {
    let tax = tax.unwrap_or_else(|| v1::Money {
        currency_code: total.map_or_else(String::new, |total| total.currency_code.clone()),
        minor_units: 0,
    });
    Amount {
        currency: tax.currency_code,
        minor_units: tax.minor_units,
    }
}

fn method(method: v1::PaymentMethod) -> Result<Method, Undecodable> {
    match method {
        v1::PaymentMethod::Cash => Ok(Method::Cash),
        v1::PaymentMethod::Card => Ok(Method::Card),
        v1::PaymentMethod::Transfer => Ok(Method::Transfer),
        v1::PaymentMethod::Unspecified => Err(Undecodable("method")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(change: BillingChange) -> BillingEvent {
        BillingEvent {
            id: Uuid::from_u128(1),
            occurred_at: "2026-01-15T09:30:00.123456Z".parse().unwrap(),
            patient_id: Uuid::from_u128(2),
            business_date: "2026-01-15".parse().unwrap(),
            change,
        }
    }

    #[test]
    fn what_is_encoded_can_be_decoded() {
        let (invoice, payment) = (Uuid::from_u128(3), Uuid::from_u128(4));
        let amount = || Amount {
            currency: "EUR".to_owned(),
            minor_units: 1250,
        };
        for change in [
            BillingChange::InvoiceIssued {
                invoice,
                total: amount(),
                tax: amount(),
                due: amount(),
                due_date: "2026-02-14".parse().unwrap(),
            },
            BillingChange::InvoiceVoided {
                invoice,
                total: amount(),
                tax: amount(),
            },
            BillingChange::InvoiceWrittenOff {
                invoice,
                amount: amount(),
            },
            BillingChange::CreditNoteIssued {
                credit_note: payment,
                invoice,
                total: amount(),
                tax: amount(),
            },
            BillingChange::PaymentRecorded {
                payment,
                amount: amount(),
                method: Method::Cash,
            },
            BillingChange::PaymentReversed {
                payment,
                amount: amount(),
                method: Method::Card,
            },
            BillingChange::RefundCompleted {
                refund: invoice,
                payment,
                amount: amount(),
                method: Method::Transfer,
            },
            BillingChange::InvoiceDueChanged {
                invoice,
                change: Amount {
                    minor_units: -1250,
                    ..amount()
                },
                due: amount(),
                due_date: "2026-02-14".parse().unwrap(),
            },
        ] {
            let event = event(change);
            assert_eq!(BillingEvent::decode(&event.encode()), Ok(event));
        }
        assert!(BillingEvent::decode(b"not an event").is_err());
        assert!(BillingEvent::decode(b"").is_err());
    }
    /// What was told before the tax was, has none.
    #[test]
    fn an_earlier_event_is_read() {
        let total = v1::Money {
            currency_code: "EUR".to_owned(),
            minor_units: 1250,
        };
        let earlier = v1::billing_event::Change::InvoiceVoided(v1::InvoiceVoided {
            invoice_id: Uuid::from_u128(3).to_string(),
            total: Some(total),
            tax: None,
        });
        let BillingChange::InvoiceVoided { total, tax, .. } = change(earlier).unwrap() else {
            panic!("another change");
        };
        assert_eq!((total.currency, tax.minor_units), (tax.currency, 0));
    }
}
