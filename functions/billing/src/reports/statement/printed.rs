//! A statement as its document shows it.

use api::Problem;
use contracts::billing::v1;
use documents::{Receiver, StatementKind};

use super::{MOST_LINES, Statement, StatementLine, StatementLineKind};

impl Statement {
    /// What its document says.
    ///
    /// # Errors
    /// 400 if it has more lines than a document.
    pub(in crate::reports) fn printed(
        self,
        billed_to: v1::BilledTo,
    ) -> Result<documents::Statement, Problem> {
        if self.next_cursor.is_some() {
            let message = format!("The period has more than {MOST_LINES} lines");
            return Err(Problem::invalid_field("from", message));
        }
        let first = self.lines.first().map(|line| line.date);
        Ok(documents::Statement {
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
        })
    }

    /// What the file with its document is called.
    pub(in crate::reports) fn file_name(&self) -> String {
        format!("statement-{}.pdf", self.to)
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
