//! What a report is about: some days, and a currency.

use chrono::NaiveDate;
use money::Currency;
use tonic::Status;

use crate::service::{clinic::Clinic, input, refused::Faults};

/// The currency of a report; the clinic's if nobody asks for one.
pub(super) fn currency(code: &str, clinic: &Clinic, faults: &mut Faults) -> Currency {
    let asked = faults.take("currency", input::if_any(code, str::parse));
    asked.flatten().unwrap_or(clinic.currency)
}

/// Days from one to another, both of them in it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Period {
    pub(super) from: NaiveDate,
    pub(super) to: NaiveDate,
}

/// A period of which both ends are required, with a currency.
pub(super) fn of(
    (from, to, currency_code): (&str, &str, &str),
    most_days: Option<i64>,
    clinic: &Clinic,
) -> Result<(Period, Currency), Status> {
    let mut faults = Faults::default();
    let from = faults.take("from", input::day(from));
    let to = faults.take("to", input::day(to));
    let currency = currency(currency_code, clinic, &mut faults);
    let (Some(from), Some(to)) = (from, to) else {
        return Err(faults.refusal());
    };
    if from > to {
        faults.note("to", "Cannot be before from");
    }
    if most_days.is_some_and(|most| (to - from).num_days() >= most) {
        faults.note("to", "The period is too long");
    }
    faults.none()?;
    Ok((Period { from, to }, currency))
}
