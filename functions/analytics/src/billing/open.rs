//! What is open at the end of a day, by how long it is overdue then.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use money::Currency;

/// What is open, by the day until which it is to be paid.
#[derive(Debug, Clone, Default)]
pub(crate) struct Open(BTreeMap<(Currency, NaiveDate), i128>);

/// What is open in a currency, in its smallest unit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Aging {
    /// On invoices whose last day is not over.
    pub(crate) not_due: i128,
    /// Overdue for 1 to 30 days.
    pub(crate) to_30: i128,
    /// Overdue for 31 to 60 days.
    pub(crate) to_60: i128,
    /// Overdue for 61 to 90 days.
    pub(crate) to_90: i128,
    /// Overdue for longer.
    pub(crate) over_90: i128,
}

impl Open {
    /// So much more is due until this day, or less.
    pub(crate) fn change(&mut self, currency: Currency, due_date: NaiveDate, amount: i128) {
        let open = self.0.entry((currency, due_date)).or_default();
        *open += amount;
        if *open == 0 {
            self.0.remove(&(currency, due_date));
        }
    }

    /// What is open in each currency, at the end of this day.
    pub(crate) fn at(&self, day: NaiveDate) -> BTreeMap<Currency, Aging> {
        let mut currencies: BTreeMap<Currency, Aging> = BTreeMap::new();
        for ((currency, due_date), amount) in &self.0 {
            let aging = currencies.entry(*currency).or_default();
            let overdue = (day - *due_date).num_days();
            *match overdue {
                ..=0 => &mut aging.not_due,
                1..=30 => &mut aging.to_30,
                31..=60 => &mut aging.to_60,
                61..=90 => &mut aging.to_90,
                91.. => &mut aging.over_90,
            } += amount;
        }
        currencies
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_buckets_have_no_gaps() {
        let due_date: NaiveDate = "2026-01-01".parse().unwrap();
        let currency = "EUR".parse().unwrap();
        let mut open = Open::default();
        open.change(currency, due_date, 7);
        let buckets = |days| {
            let aging = open.at(due_date + chrono::TimeDelta::days(days))[&currency];
            let Aging {
                not_due,
                to_30,
                to_60,
                to_90,
                over_90,
            } = aging;
            let buckets = [not_due, to_30, to_60, to_90, over_90];
            buckets.iter().position(|amount| *amount == 7).unwrap()
        };
        let expected = [0, 0, 1, 1, 2, 2, 3, 3, 4];
        assert_eq!([-1, 0, 1, 30, 31, 60, 61, 90, 91].map(buckets), expected);
    }

    #[test]
    fn what_is_paid_is_not_open() {
        let currency = "EUR".parse().unwrap();
        let mut open = Open::default();
        for amount in [7, -7] {
            open.change(currency, NaiveDate::default(), amount);
        }
        assert_eq!(open.at(NaiveDate::default()), BTreeMap::new());
    }
}
