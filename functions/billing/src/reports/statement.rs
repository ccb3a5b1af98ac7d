//! What happened on a patient's account.

mod printed;

use api::{Cursor, Problem};
use billing_client::{BillingClient, BillingError};
use chrono::NaiveDate;
use contracts::billing::v1;
use money::{Currency, Money};
use serde::Serialize;
use sqlx::PgPool;
use utoipa::ToSchema;
use uuid::Uuid;

pub(crate) use printed::{PrintedStatement, TooManyLines};

use crate::{account::with_account, answer, currency, day::Day, page, problem::problem};

/// How many lines a response has at most: few patients ever have more, and it stays far below what a
/// function may answer.
pub(crate) const MOST_LINES: usize = 10_000;

/// How many lines the service is asked for at a time.
const LINES_AT_A_TIME: i32 = 500;

/// What happened on a patient's account in a period
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = json!({
    "from": "2027-01-01",
    "to": "2027-01-31",
    "opening": { "currency": "EUR", "minorUnits": 0 },
    "lines": [
        {
            "date": "2027-01-15",
            "kind": "INVOICE",
            "amount": { "currency": "EUR", "minorUnits": 7735 },
            "balance": { "currency": "EUR", "minorUnits": 7735 },
            "documentNumber": "2027-000017",
            "invoiceId": "0199f7a2-6d02-7a11-8f0e-5b1c7a90d3f2",
            "paymentId": null
        },
        {
            "date": "2027-01-18",
            "kind": "PAYMENT",
            "amount": { "currency": "EUR", "minorUnits": -10_000 },
            "balance": { "currency": "EUR", "minorUnits": -2265 },
            "documentNumber": "CARD-88127",
            "invoiceId": null,
            "paymentId": "0199f7a2-6d02-7a11-8f0e-5b1c7a90d3f6"
        },
        {
            "date": "2027-01-20",
            "kind": "CREDIT_NOTE",
            "amount": { "currency": "EUR", "minorUnits": -1190 },
            "balance": { "currency": "EUR", "minorUnits": -3455 },
            "documentNumber": "CN-2027-000003",
            "invoiceId": "0199f7a2-6d02-7a11-8f0e-5b1c7a90d3f2",
            "paymentId": null
        },
        {
            "date": "2027-01-21",
            "kind": "REFUND",
            "amount": { "currency": "EUR", "minorUnits": 2265 },
            "balance": { "currency": "EUR", "minorUnits": -1190 },
            "documentNumber": "SEPA-2027-0121",
            "invoiceId": null,
            "paymentId": "0199f7a2-6d02-7a11-8f0e-5b1c7a90d3f6"
        }
    ],
    "closing": { "currency": "EUR", "minorUnits": -1190 },
    "nextCursor": null
}))]
pub(crate) struct Statement {
    /// The first day of the period; null if it is from the beginning.
    #[schema(required)]
    from: Option<NaiveDate>,
    /// The last day of the period.
    to: NaiveDate,
    /// What the patient owed before; less than 0 if they had credit.
    opening: Money,
    /// What happened, in order.
    lines: Vec<StatementLine>,
    /// What the patient owes after the period: `opening` and all lines, on whichever page.
    closing: Money,
    /// Send it as `cursor` to get the next page; null on the last one. A page has at
    /// most 10,000 lines.
    #[schema(required)]
    next_cursor: Option<String>,
}

/// Something that happened on a patient's account
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StatementLine {
    /// The day on which it was booked.
    date: NaiveDate,
    /// What happened.
    kind: StatementLineKind,
    /// How much more the patient owes by it; less than 0 if it is less.
    amount: Money,
    /// What the patient owes after it.
    balance: Money,
    /// The number of the invoice or credit note, or the reference of the payment or refund.
    #[schema(required)]
    document_number: Option<String>,
    /// The invoice that it is about.
    #[schema(required)]
    invoice_id: Option<Uuid>,
    /// The payment that it is about.
    #[schema(required)]
    payment_id: Option<Uuid>,
}

/// What happened on an account
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum StatementLineKind {
    /// An invoice was issued.
    Invoice,
    /// An invoice was taken back.
    InvoiceVoided,
    /// A credit note was issued.
    CreditNote,
    /// What was due on an invoice was given up.
    WriteOff,
    /// A payment was recorded.
    Payment,
    /// A payment turned out not to have arrived.
    PaymentReversed,
    /// Money was paid back.
    Refund,
}

/// Whose statement, of which period, and in which currency: see the parameters of the routes.
pub(super) struct Asked {
    pub(super) patient_id: Uuid,
    pub(super) from: Option<Day>,
    pub(super) to: Option<Day>,
    pub(super) currency: Option<Currency>,
}

impl Statement {
    /// Reads a page of it, and who it is about.
    pub(super) async fn read(
        (database, billing): (&PgPool, &BillingClient),
        asked: Asked,
        cursor: Option<Cursor<String>>,
    ) -> Result<(Self, v1::BilledTo), Problem> {
        let mut request = v1::GetStatementRequest {
            patient_id: asked.patient_id.to_string(),
            from_date: Day::text_of(asked.from),
            to_date: Day::text_of(asked.to),
            currency_code: currency::code_of(asked.currency),
            page_size: LINES_AT_A_TIME,
            page_token: page::token(cursor),
        };
        let mut lines = Vec::new();
        // The balances around the lines are those of the last answer: what was booked meanwhile is in it.
        let mut last = loop {
            let mut answer = with_account(database, billing, asked.patient_id, || {
                billing.get_statement(request.clone())
            })
            .await?;
            lines.append(&mut answer.lines);
            if answer.next_page_token.is_empty() || lines.len() >= MOST_LINES {
                break answer;
            }
            request.page_token.clone_from(&answer.next_page_token);
        };
        let billed_to = last.billed_to.take().unwrap_or_default();
        let statement = Self::of(last, lines).map_err(problem)?;
        Ok((statement, billed_to))
    }

    fn of(
        answer: v1::GetStatementResponse,
        lines: Vec<v1::StatementLine>,
    ) -> Result<Self, BillingError> {
        let lines = lines.into_iter().map(StatementLine::try_from);
        Ok(Self {
            from: answer::day_if_any("from_date", &answer.from_date)?,
            to: answer::day("to_date", &answer.to_date)?,
            opening: answer::money("opening", answer.opening)?,
            lines: lines.collect::<Result<_, _>>()?,
            closing: answer::money("closing", answer.closing)?,
            next_cursor: page::next_cursor(answer.next_page_token),
        })
    }
}

impl TryFrom<v1::StatementLine> for StatementLine {
    type Error = BillingError;

    fn try_from(line: v1::StatementLine) -> Result<Self, BillingError> {
        let kind = StatementLineKind::of(line.kind());
        Ok(Self {
            date: answer::day("date", &line.date)?,
            kind: kind.ok_or(BillingError::Unreadable("kind"))?,
            amount: answer::money("amount", line.amount)?,
            balance: answer::money("balance", line.balance)?,
            document_number: answer::text_if_any(line.document_number),
            invoice_id: answer::id_if_any("invoice_id", &line.invoice_id)?,
            payment_id: answer::id_if_any("payment_id", &line.payment_id)?,
        })
    }
}

impl StatementLineKind {
    const fn of(kind: v1::StatementLineKind) -> Option<Self> {
        match kind {
            v1::StatementLineKind::Invoice => Some(Self::Invoice),
            v1::StatementLineKind::InvoiceVoided => Some(Self::InvoiceVoided),
            v1::StatementLineKind::CreditNote => Some(Self::CreditNote),
            v1::StatementLineKind::WriteOff => Some(Self::WriteOff),
            v1::StatementLineKind::Payment => Some(Self::Payment),
            v1::StatementLineKind::PaymentReversed => Some(Self::PaymentReversed),
            v1::StatementLineKind::Refund => Some(Self::Refund),
            v1::StatementLineKind::Unspecified => None,
        }
    }
}
