//! A statement as its document shows it.

use billing_client::BillingError;
use chrono::NaiveDate;
use contracts::billing::v1;
use documents::{Document, Error, Receiver, StatementKind};

use super::{MOST_LINES, Statement, StatementLine, StatementLineKind};
use crate::letterhead::Letterhead;

/// What the document of a statement says, and what its file is called.
pub(crate) struct PrintedStatement {
    statement: documents::Statement,
    file_name: String,
}

/// A statement has more lines than a document. Said about the first day of its period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("The period has more than {MOST_LINES} lines")]
pub(crate) struct TooManyLines;

impl PrintedStatement {
    /// What the document says of all lines.
    ///
    /// # Errors
    /// If the service has not said something that a statement has.
    pub(crate) fn of(mut answer: v1::GetStatementResponse) -> Result<Self, BillingError> {
        let billed_to = answer.billed_to.take().unwrap_or_default();
        let lines = std::mem::take(&mut answer.lines);
        Ok(Statement::of(answer, lines)?.printed(billed_to))
    }

    /// The days from which and to which it is.
    pub(crate) const fn period(&self) -> (NaiveDate, NaiveDate) {
        (self.statement.from, self.statement.to)
    }

    /// The document, and what its file is called.
    ///
    /// # Errors
    /// If the document cannot be made.
    pub(crate) fn pdf(self, letterhead: &Letterhead) -> Result<(Document, String), Error> {
        let document = self.statement.pdf(letterhead.clinic())?;
        Ok((document, self.file_name))
    }
}

impl Statement {
    /// What its document says.
    pub(in crate::reports) fn printed(self, billed_to: v1::BilledTo) -> PrintedStatement {
        let first = self.lines.first().map(|line| line.date);
        let statement = documents::Statement {
            receiver: Receiver {
                name: billed_to.name,
                address: billed_to.address,
                email: billed_to.email,
            },
            // From the beginning: the day of the first line.
            from: self.from.or(first).unwrap_or(self.to),
            to: self.to,
            opening: self.opening,
            lines: self.lines.into_iter().map(StatementLine::printed).collect(),
            closing: self.closing,
        };
        PrintedStatement {
            statement,
            file_name: format!("statement-{}.pdf", self.to),
        }
    }

    /// Whether it has more lines than a document.
    ///
    /// # Errors
    /// If it has.
    pub(in crate::reports) const fn must_be_whole(&self) -> Result<(), TooManyLines> {
        match self.next_cursor {
            Some(_) => Err(TooManyLines),
            None => Ok(()),
        }
    }
}

impl StatementLine {
    fn printed(self) -> documents::StatementLine {
        documents::StatementLine {
            date: self.date,
            kind: self.kind.printed(),
            reference: self.document_number.unwrap_or_default(),
            amount: self.amount,
            balance: self.balance,
        }
    }
}

impl StatementLineKind {
    const fn printed(self) -> StatementKind {
        match self {
            Self::Invoice => StatementKind::Invoice,
            Self::InvoiceVoided => StatementKind::InvoiceVoided,
            Self::CreditNote => StatementKind::CreditNote,
            Self::WriteOff => StatementKind::WriteOff,
            Self::Payment => StatementKind::Payment,
            Self::PaymentReversed => StatementKind::PaymentReversed,
            Self::Refund => StatementKind::Refund,
        }
    }
}
