//! What is counted of billing, and sums of it.

use std::{collections::BTreeMap, num::ParseIntError, ops::AddAssign};

use aws_sdk_dynamodb::types::AttributeValue;
use strum::VariantArray as _;

use crate::counters::Item;

/// Something that is counted. Its name is that of the attribute. Amounts are in the smallest unit of
/// their currency.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, strum::IntoStaticStr, strum::VariantArray,
)]
#[strum(serialize_all = "camelCase")]
pub(crate) enum Counter {
    /// What invoices came to, without tax.
    Issued,
    /// What invoices that were taken back came to, without tax.
    Voided,
    /// What credit notes came to, without tax.
    Credited,
    /// The tax on what was issued, without that on what was voided and credited.
    Tax,
    /// What was given up.
    WrittenOff,
    CashPayments,
    CashReversed,
    CashRefunds,
    /// How many payments there were.
    CashCount,
    CardPayments,
    CardReversed,
    CardRefunds,
    CardCount,
    TransferPayments,
    TransferReversed,
    TransferRefunds,
    TransferCount,
    /// What has become due, less what is due no more.
    Due,
}

impl Counter {
    /// The name of the attribute.
    pub(crate) fn name(self) -> &'static str {
        self.into()
    }
}

/// The counters of a way in which money changes hands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Way {
    pub(crate) payments: Counter,
    pub(crate) reversed: Counter,
    pub(crate) refunds: Counter,
    pub(crate) count: Counter,
}

impl Way {
    pub(crate) const CASH: Self = Self {
        payments: Counter::CashPayments,
        reversed: Counter::CashReversed,
        refunds: Counter::CashRefunds,
        count: Counter::CashCount,
    };
    pub(crate) const CARD: Self = Self {
        payments: Counter::CardPayments,
        reversed: Counter::CardReversed,
        refunds: Counter::CardRefunds,
        count: Counter::CardCount,
    };
    pub(crate) const TRANSFER: Self = Self {
        payments: Counter::TransferPayments,
        reversed: Counter::TransferReversed,
        refunds: Counter::TransferRefunds,
        count: Counter::TransferCount,
    };
}

/// A counter is not a whole number.
#[derive(Debug, thiserror::Error)]
#[error("the counter {0} is not a whole number")]
pub(crate) struct MalformedCounter(&'static str, #[source] Option<ParseIntError>);

/// How much was counted of each, or is to be added to it. There is room for the sum of any amounts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Figures(BTreeMap<Counter, i128>);

impl Figures {
    /// How much was counted.
    pub(crate) fn of(&self, counter: Counter) -> i128 {
        self.0.get(&counter).copied().unwrap_or_default()
    }

    /// The counters that change.
    pub(crate) fn changes(&self) -> impl Iterator<Item = (Counter, i128)> {
        let counters = self.0.iter().map(|(counter, number)| (*counter, *number));
        counters.filter(|(_, number)| *number != 0)
    }

    /// Reads an item. Counters that are missing are 0.
    ///
    /// # Errors
    /// If a counter is not a whole number.
    pub(crate) fn read(item: &Item) -> Result<Self, MalformedCounter> {
        let mut figures = Self::default();
        for &counter in Counter::VARIANTS {
            let name = counter.name();
            let number = match item.get(name) {
                None => continue,
                Some(AttributeValue::N(number)) => number
                    .parse()
                    .map_err(|error| MalformedCounter(name, Some(error)))?,
                Some(_) => return Err(MalformedCounter(name, None)),
            };
            figures.0.insert(counter, number);
        }
        Ok(figures)
    }
}

impl FromIterator<(Counter, i64)> for Figures {
    fn from_iter<I: IntoIterator<Item = (Counter, i64)>>(counters: I) -> Self {
        let counters = counters.into_iter();
        Self(
            counters
                .map(|(counter, number)| (counter, number.into()))
                .collect(),
        )
    }
}

impl AddAssign<&Self> for Figures {
    fn add_assign(&mut self, other: &Self) {
        for (counter, number) in &other.0 {
            *self.0.entry(*counter).or_default() += number;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_a_whole_number() {
        let item = |value| Item::from([("writtenOff".to_owned(), value)]);
        let read = Figures::read(&item(AttributeValue::N("-7".to_owned()))).unwrap();
        assert_eq!(read.of(Counter::WrittenOff), -7);
        assert_eq!(read.of(Counter::Issued), 0);
        assert!(Figures::read(&item(AttributeValue::N("0.5".to_owned()))).is_err());
        assert!(Figures::read(&item(AttributeValue::S("7".to_owned()))).is_err());
    }
}
