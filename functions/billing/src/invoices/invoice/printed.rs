//! An invoice as its document shows it.

use billing_client::BillingError;
use chrono::{DateTime, NaiveDate, Utc};
use contracts::billing::v1;
use documents::{Document, Receiver, Standing};

use super::{BilledTo, Invoice, InvoiceLine, InvoiceState, TaxTotal};
use crate::letterhead::Letterhead;

/// What the document of an invoice says, and what its file is called.
pub(crate) struct Printed {
    invoice: documents::Invoice,
    file_name: String,
}

impl Printed {
    /// What it says if it is shown now. `day` is the day that it is at the clinic.
    ///
    /// # Errors
    /// If the service has not said something that an invoice in its state has.
    pub(crate) fn of(
        invoice: v1::Invoice,
        now: DateTime<Utc>,
        day: impl Fn(DateTime<Utc>) -> NaiveDate,
    ) -> Result<Self, PrintError> {
        let invoice = Invoice::try_from(invoice).map_err(PrintError::of)?;
        let printed = invoice.printed(now, day).map_err(PrintError::of)?;
        Ok(Self {
            invoice: printed,
            file_name: invoice.file_name(),
        })
    }

    /// The document, and what its file is called.
    ///
    /// # Errors
    /// If the document cannot be made.
    pub(crate) fn pdf(self, letterhead: &Letterhead) -> Result<(Document, String), PrintError> {
        let document = self.invoice.pdf(letterhead.clinic());
        Ok((document.map_err(PrintError::of)?, self.file_name))
    }
}

/// An invoice cannot be printed, for this reason.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct PrintError(String);

impl PrintError {
    fn of(error: impl std::fmt::Display) -> Self {
        Self(error.to_string())
    }
}

impl Invoice {
    /// What its document says, if it is shown now. `day` is the day that it is at the clinic.
    ///
    /// # Errors
    /// If the service has not said something that an invoice in its state has.
    pub(in crate::invoices) fn printed(
        &self,
        now: DateTime<Utc>,
        day: impl Fn(DateTime<Utc>) -> NaiveDate,
    ) -> Result<documents::Invoice, BillingError> {
        let lines = self.lines.iter().map(InvoiceLine::printed);
        let taxes = self.taxes.iter().map(TaxTotal::printed);
        let unreadable = |_| BillingError::Unreadable("tax_rate_ppm");
        let lines = lines.collect::<Result<_, _>>().map_err(unreadable)?;
        let taxes = taxes.collect::<Result<_, _>>().map_err(unreadable)?;
        Ok(documents::Invoice {
            billed_to: self
                .billed_to
                .as_ref()
                .map(Receiver::from)
                .unwrap_or_default(),
            standing: self.standing(now, day)?,
            lines,
            taxes,
            net: self.net,
            total: self.total,
            credited: self.credited,
            paid: self.allocated,
            written_off: self.written_off,
            due: self.due,
        })
    }

    /// One that was written off was issued: how much of it was given up is among its totals.
    fn standing(
        &self,
        now: DateTime<Utc>,
        day: impl Fn(DateTime<Utc>) -> NaiveDate,
    ) -> Result<Standing, BillingError> {
        if self.state == InvoiceState::Draft {
            return Ok(Standing::Draft { on: day(now) });
        }
        let number = self.number.clone();
        let number = number.ok_or(BillingError::Unreadable("number"))?;
        let on = self.issue_date;
        let on = on.ok_or(BillingError::Unreadable("issue_date"))?;
        if self.state == InvoiceState::Void {
            let voided = self.voided_at;
            let voided = voided.ok_or(BillingError::Unreadable("void_time"))?;
            let voided = day(voided);
            return Ok(Standing::Void { number, on, voided });
        }
        let due = self.due_date;
        let due = due.ok_or(BillingError::Unreadable("due_date"))?;
        Ok(Standing::Issued { number, on, due })
    }

    /// What the file with its document is called.
    pub(in crate::invoices) fn file_name(&self) -> String {
        let number = self.number.as_deref().unwrap_or("draft");
        let fits = |letter: &char| letter.is_ascii_alphanumeric() || *letter == '-';
        let name: String = number.chars().filter(fits).collect();
        format!("{name}.pdf")
    }
}

impl From<&BilledTo> for Receiver {
    fn from(billed_to: &BilledTo) -> Self {
        Self {
            name: billed_to.name.clone(),
            address: billed_to.address.clone().unwrap_or_default(),
            email: billed_to.email.clone().unwrap_or_default(),
        }
    }
}
