//! What billing has to know of the clinic.

use std::{fmt, sync::Arc};

use chrono::{DateTime, Days, NaiveDate, SubsecRound as _, Utc};
use money::{Currency, Money, UnknownCurrency};
use zones::{UnknownZone, Zone};

use crate::letterhead::{InvalidLetterhead, Letterhead};

/// Within how many days an invoice is to be paid, unless the clinic says otherwise.
const PAYMENT_TERM_DAYS: u32 = 30;

/// Up to what amount one person may refund or write off by themselves, unless the clinic says
/// otherwise: 100 EUR.
const FOUR_EYES_ABOVE: i64 = 10_000;

/// The clinic's calendar, its money and its rules.
#[derive(Debug, Clone)]
pub struct Clinic {
    /// The zone whose days are the dates of invoices, payments and reports.
    pub zone: Zone,
    /// The currency that everything is in where nobody says otherwise.
    pub currency: Currency,
    /// Within how many days after its date an invoice is to be paid.
    pub payment_term_days: u32,
    /// Refunds and write-offs above this, in the smallest unit of the clinic's currency, need two
    /// people. Those in any other currency always do.
    pub four_eyes_above: i64,
    /// What is printed on invoices that are sent.
    pub letterhead: Letterhead,
    /// What time it is.
    pub clock: Clock,
}

/// A setting of the clinic cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidClinic {
    /// `CLINIC_TIME_ZONE`.
    #[error("CLINIC_TIME_ZONE is not a time zone")]
    Zone(#[from] UnknownZone),
    /// `CLINIC_CURRENCY`.
    #[error("CLINIC_CURRENCY is not a currency")]
    Currency(#[from] UnknownCurrency),
    /// `PAYMENT_TERM_DAYS`.
    #[error("PAYMENT_TERM_DAYS is not a number of days from 0 to 365")]
    PaymentTerm,
    /// `FOUR_EYES_ABOVE`.
    #[error("FOUR_EYES_ABOVE is not a number of the currency's smallest unit")]
    FourEyes,
    /// What documents say.
    #[error(transparent)]
    Letterhead(#[from] InvalidLetterhead),
}

impl Default for Clinic {
    fn default() -> Self {
        Self {
            zone: Zone::utc(),
            currency: Currency::EUR,
            payment_term_days: PAYMENT_TERM_DAYS,
            four_eyes_above: FOUR_EYES_ABOVE,
            letterhead: Letterhead::default(),
            clock: Clock::default(),
        }
    }
}

impl Clinic {
    /// Reads `CLINIC_TIME_ZONE` (UTC by default), `CLINIC_CURRENCY` (EUR), `PAYMENT_TERM_DAYS` (30)
    /// and `FOUR_EYES_ABOVE` (10000, in the currency's smallest unit), and the [`Letterhead`].
    ///
    /// # Errors
    /// If one of them cannot be used.
    pub fn from_env() -> Result<Self, InvalidClinic> {
        let setting = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        Ok(Self {
            letterhead: Letterhead::from_env()?,
            ..Self::from_settings(setting)?
        })
    }

    fn from_settings(setting: impl Fn(&str) -> Option<String>) -> Result<Self, InvalidClinic> {
        let mut clinic = Self::default();
        if let Some(name) = setting("CLINIC_TIME_ZONE") {
            clinic.zone = Zone::named(&name)?;
        }
        if let Some(code) = setting("CLINIC_CURRENCY") {
            clinic.currency = code.parse()?;
        }
        if let Some(days) = setting("PAYMENT_TERM_DAYS") {
            let days = days.parse().ok().filter(|days| *days <= 365);
            clinic.payment_term_days = days.ok_or(InvalidClinic::PaymentTerm)?;
        }
        if let Some(limit) = setting("FOUR_EYES_ABOVE") {
            let limit = limit.parse().ok().filter(|limit| *limit >= 0);
            clinic.four_eyes_above = limit.ok_or(InvalidClinic::FourEyes)?;
        }
        Ok(clinic)
    }

    /// Now, to the microsecond: what the database can store.
    pub(crate) fn now(&self) -> DateTime<Utc> {
        (self.clock.0)().trunc_subsecs(6)
    }

    /// The day that it is at the clinic.
    pub(crate) fn today(&self) -> NaiveDate {
        self.zone.date(self.now())
    }

    /// When an invoice of this date is to be paid.
    pub(crate) fn due_date(&self, issued: NaiveDate) -> NaiveDate {
        let due = issued.checked_add_days(Days::new(self.payment_term_days.into()));
        due.unwrap_or(issued)
    }

    /// Whether two people are needed to refund this, or write it off.
    pub(crate) fn needs_two_people(&self, amount: Money) -> bool {
        amount.currency() != self.currency || amount.minor_units() > self.four_eyes_above
    }
}

/// What time it is: for tests of what happens at midnight, any other than now.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>);

impl Clock {
    /// A clock that shows this.
    pub fn showing(time: impl Fn() -> DateTime<Utc> + Send + Sync + 'static) -> Self {
        Self(Arc::new(time))
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::showing(Utc::now)
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: &str, value: &str) -> Result<Clinic, InvalidClinic> {
        Clinic::from_settings(|asked| (asked == name).then(|| value.to_owned()))
    }

    #[test]
    fn a_setting_that_is_not_there_has_a_default() {
        let clinic = Clinic::from_settings(|_| None).unwrap();
        assert_eq!(clinic.currency, Currency::EUR);
        assert_eq!(clinic.zone, Zone::utc());
        assert_eq!(
            (clinic.payment_term_days, clinic.four_eyes_above),
            (30, 10_000)
        );
    }

    #[test]
    fn a_setting_that_cannot_be_used_stops_the_service() {
        let zone = with("CLINIC_TIME_ZONE", "Europe/Atlantis");
        assert_eq!(zone.err(), Some(UnknownZone.into()));
        assert_eq!(
            with("CLINIC_CURRENCY", "euro").err(),
            Some(UnknownCurrency.into())
        );
        for days in ["-1", "366", "a month"] {
            assert_eq!(
                with("PAYMENT_TERM_DAYS", days).err(),
                Some(InvalidClinic::PaymentTerm)
            );
        }
        assert_eq!(
            with("FOUR_EYES_ABOVE", "-1").err(),
            Some(InvalidClinic::FourEyes)
        );
    }

    #[test]
    fn a_day_begins_at_the_clinics_midnight() {
        let mut clinic = with("CLINIC_TIME_ZONE", "Europe/Berlin").unwrap();
        for (time, date) in [
            ("2026-03-28T22:59:59Z", "2026-03-28"),
            ("2026-03-28T23:00:00Z", "2026-03-29"),
            ("2026-03-29T21:59:59Z", "2026-03-29"),
            ("2026-03-29T22:00:00Z", "2026-03-30"),
            ("2028-02-28T23:00:00Z", "2028-02-29"),
        ] {
            let time: DateTime<Utc> = time.parse().unwrap();
            clinic.clock = Clock::showing(move || time);
            assert_eq!(clinic.today().to_string(), date);
        }
    }

    #[test]
    fn two_people_are_needed_above_the_limit_and_in_other_currencies() {
        let clinic = Clinic::default();
        let eur = |amount| Money::new(Currency::EUR, amount).unwrap();
        assert!(!clinic.needs_two_people(eur(10_000)));
        assert!(clinic.needs_two_people(eur(10_001)));
        assert!(clinic.needs_two_people(Money::new("JPY".parse().unwrap(), 1).unwrap()));
    }
}
