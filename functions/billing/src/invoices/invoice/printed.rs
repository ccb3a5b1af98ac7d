//! An invoice as its document shows it.

use api::{ClinicTimeZone, Problem};
use billing_client::BillingError;
use chrono::{DateTime, Utc};
use documents::{Receiver, Standing};

use super::{BilledTo, Invoice, InvoiceLine, InvoiceState, TaxTotal};
use crate::problem::problem;

impl Invoice {
    /// What its document says, if it is shown now.
    ///
    /// # Errors
    /// If the service has not said something that an invoice in its state has.
    pub(in crate::invoices) fn printed(
        &self,
        now: DateTime<Utc>,
        zone: ClinicTimeZone,
    ) -> Result<documents::Invoice, Problem> {
        let lines = self.lines.iter().map(InvoiceLine::printed);
        let taxes = self.taxes.iter().map(TaxTotal::printed);
        let standing = self.standing(now, zone).map_err(problem)?;
        Ok(documents::Invoice {
            billed_to: self
                .billed_to
                .as_ref()
                .map(Receiver::from)
                .unwrap_or_default(),
            standing,
            lines: lines.collect::<Result<_, _>>().map_err(Problem::internal)?,
            taxes: taxes.collect::<Result<_, _>>().map_err(Problem::internal)?,
            net: self.net,
            total: self.total,
            credited: self.credited,
            paid: self.allocated,
            written_off: self.written_off,
            due: self.due,
        })
    }

    /// One that was written off was issued: how much of it was given up is among its totals.
    fn standing(&self, now: DateTime<Utc>, zone: ClinicTimeZone) -> Result<Standing, BillingError> {
        if self.state == InvoiceState::Draft {
            return Ok(Standing::Draft { on: zone.day(now) });
        }
        let number = self.number.clone();
        let number = number.ok_or(BillingError::Unreadable("number"))?;
        let on = self.issue_date;
        let on = on.ok_or(BillingError::Unreadable("issue_date"))?;
        if self.state == InvoiceState::Void {
            let voided = self.voided_at;
            let voided = voided.ok_or(BillingError::Unreadable("void_time"))?;
            let voided = zone.day(voided);
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
