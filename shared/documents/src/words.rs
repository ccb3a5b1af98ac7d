//! What documents say in each language, and how numbers and dates are written in it.

use std::{fmt, str::FromStr};

use chrono::{Datelike as _, NaiveDate};
use money::{Money, TaxRate};

use crate::{sheet::Direction, statement::StatementKind, table::Carried};

mod arabic;
mod english;
mod french;
mod german;
mod hebrew;
mod spanish;

/// Keeps what stands on both sides of it on one line, and one number.
pub(crate) const NO_BREAK_SPACE: char = '\u{a0}';

/// A language that documents can be written in. A new one is a file beside `words/english.rs`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Language {
    /// `en`
    #[default]
    English,
    /// `de`
    German,
    /// `fr`
    French,
    /// `es`
    Spanish,
    /// `ar`: documents run from right to left.
    Arabic,
    /// `he`: documents run from right to left.
    Hebrew,
}

/// Documents cannot be written in this language.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("Must be one of en, de, fr, es, ar, he")]
pub struct UnknownLanguage;

impl Language {
    /// Every language.
    pub const ALL: [Self; 6] = [
        Self::English,
        Self::German,
        Self::French,
        Self::Spanish,
        Self::Arabic,
        Self::Hebrew,
    ];

    /// Its ISO 639 code.
    #[must_use]
    pub const fn code(self) -> &'static str {
        self.words().code
    }

    pub(crate) const fn words(self) -> &'static Words {
        match self {
            Self::English => &english::WORDS,
            Self::German => &german::WORDS,
            Self::French => &french::WORDS,
            Self::Spanish => &spanish::WORDS,
            Self::Arabic => &arabic::WORDS,
            Self::Hebrew => &hebrew::WORDS,
        }
    }
}

impl FromStr for Language {
    type Err = UnknownLanguage;

    fn from_str(code: &str) -> Result<Self, UnknownLanguage> {
        Self::ALL
            .into_iter()
            .find(|language| language.code() == code)
            .ok_or(UnknownLanguage)
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// Where the parts of a number are divided.
pub(crate) struct Numbers {
    pub(crate) thousands: char,
    pub(crate) decimals: char,
    /// EUR 1.00 or 1.00 EUR.
    pub(crate) currency_first: bool,
    /// 19 % or 19%.
    pub(crate) space_before_percent: bool,
}

/// How dates are written.
pub(crate) enum Dates {
    /// 3 Jan 2027, which means the same on both sides of the Atlantic.
    DayMonthYear([&'static str; 12]),
    /// 03.01.2027, with this between the numbers.
    Numbers(char),
}

/// What documents say. `{name}` stands for what the function of that field fills in.
pub(crate) struct Words {
    pub(crate) code: &'static str,
    pub(crate) direction: Direction,
    pub(crate) numbers: Numbers,
    pub(crate) dates: Dates,
    /// Page {page} of {pages}
    pub(crate) page: &'static str,

    pub(crate) invoice: &'static str,
    pub(crate) draft: &'static str,
    pub(crate) draft_note: &'static str,
    /// {date}
    pub(crate) void_note: &'static str,
    pub(crate) number: &'static str,
    pub(crate) date: &'static str,
    pub(crate) due_date: &'static str,

    pub(crate) description: &'static str,
    pub(crate) quantity: &'static str,
    pub(crate) unit_price: &'static str,
    pub(crate) tax: &'static str,
    pub(crate) amount: &'static str,
    /// {amount}
    pub(crate) discount: &'static str,
    pub(crate) carried_forward: &'static str,
    pub(crate) brought_forward: &'static str,

    pub(crate) net: &'static str,
    /// {rate} {net}
    pub(crate) tax_on: &'static str,
    pub(crate) total: &'static str,
    pub(crate) credited: &'static str,
    pub(crate) paid: &'static str,
    pub(crate) written_off: &'static str,
    pub(crate) due: &'static str,
    /// {amount} {date} {number}
    pub(crate) please_pay: &'static str,
    pub(crate) nothing_due: &'static str,

    pub(crate) statement: &'static str,
    pub(crate) period: &'static str,
    /// {from} {to}
    pub(crate) from_to: &'static str,
    pub(crate) entry: &'static str,
    pub(crate) reference: &'static str,
    pub(crate) balance: &'static str,
    pub(crate) opening: &'static str,
    /// {date}
    pub(crate) closing: &'static str,
    /// {amount}
    pub(crate) owed: &'static str,
    /// {amount}
    pub(crate) credit: &'static str,

    pub(crate) invoice_voided: &'static str,
    pub(crate) credit_note: &'static str,
    pub(crate) write_off: &'static str,
    pub(crate) payment: &'static str,
    pub(crate) payment_reversed: &'static str,
    pub(crate) refund: &'static str,
}

impl Words {
    /// An amount without its currency.
    pub(crate) fn amount(&self, money: Money) -> String {
        let decimals = usize::from(money.currency().decimals());
        let digits = format!("{:0>1$}", money.minor_units().unsigned_abs(), decimals + 1);
        let (whole, fraction) = digits.split_at(digits.len() - decimals);
        let mut text = String::new();
        if money.minor_units() < 0 {
            text.push('−');
        }
        for (index, digit) in whole.chars().enumerate() {
            if index > 0 && (whole.len() - index) % 3 == 0 {
                text.push(self.numbers.thousands);
            }
            text.push(digit);
        }
        if decimals > 0 {
            text.push(self.numbers.decimals);
            text.push_str(fraction);
        }
        text
    }

    /// An amount with its currency.
    pub(crate) fn money(&self, money: Money) -> String {
        let (amount, currency) = (self.amount(money), money.currency());
        if self.numbers.currency_first {
            format!("{currency}{NO_BREAK_SPACE}{amount}")
        } else {
            format!("{amount}{NO_BREAK_SPACE}{currency}")
        }
    }

    /// A rate of tax, with as many decimals as it has.
    pub(crate) fn rate(&self, rate: TaxRate) -> String {
        let percent = rate.millionths() / 10_000;
        let fraction = format!("{:04}", rate.millionths() % 10_000);
        let fraction = fraction.trim_end_matches('0');
        let mut text = percent.to_string();
        if !fraction.is_empty() {
            text.push(self.numbers.decimals);
            text.push_str(fraction);
        }
        if self.numbers.space_before_percent {
            text.push(NO_BREAK_SPACE);
        }
        text.push('%');
        text
    }

    pub(crate) fn day(&self, date: NaiveDate) -> String {
        let (day, month, year) = (date.day(), date.month0() as usize, date.year());
        match self.dates {
            Dates::DayMonthYear(months) => {
                let month = months.get(month).copied().unwrap_or_default();
                format!("{day}{NO_BREAK_SPACE}{month}{NO_BREAK_SPACE}{year}")
            }
            Dates::Numbers(divider) => {
                format!("{day:02}{divider}{:02}{divider}{year}", month + 1)
            }
        }
    }

    pub(crate) fn page(&self, page: usize, pages: usize) -> String {
        let page = page.to_string();
        fill(self.page, &[("page", page), ("pages", pages.to_string())])
    }

    pub(crate) fn void_note(&self, date: NaiveDate) -> String {
        fill(self.void_note, &[("date", self.day(date))])
    }

    pub(crate) fn discount(&self, amount: Money) -> String {
        fill(self.discount, &[("amount", self.amount(amount))])
    }

    pub(crate) fn tax_on(&self, rate: TaxRate, net: Money) -> String {
        fill(
            self.tax_on,
            &[("rate", self.rate(rate)), ("net", self.amount(net))],
        )
    }

    pub(crate) fn please_pay(&self, amount: Money, date: NaiveDate, number: &str) -> String {
        let number = number.to_owned();
        let values = [
            ("amount", self.money(amount)),
            ("date", self.day(date)),
            ("number", number),
        ];
        fill(self.please_pay, &values)
    }

    pub(crate) fn period(&self, from: NaiveDate, to: NaiveDate) -> String {
        if from == to {
            return self.day(from);
        }
        fill(
            self.from_to,
            &[("from", self.day(from)), ("to", self.day(to))],
        )
    }

    /// What is said where a table goes on, with the sum after each of its rows.
    pub(crate) const fn carried(&self, sums: Vec<String>) -> Carried {
        Carried {
            forward: self.carried_forward,
            brought: self.brought_forward,
            sums,
        }
    }

    pub(crate) fn closing(&self, date: NaiveDate) -> String {
        fill(self.closing, &[("date", self.day(date))])
    }

    /// What an account that ends with this asks for.
    pub(crate) fn what_is_owed(&self, closing: Money) -> String {
        match closing.minor_units() {
            0 => self.nothing_due.to_owned(),
            1.. => fill(self.owed, &[("amount", self.money(closing))]),
            _ => fill(self.credit, &[("amount", self.money(closing.negated()))]),
        }
    }

    pub(crate) const fn kind(&self, kind: StatementKind) -> &'static str {
        match kind {
            StatementKind::Invoice => self.invoice,
            StatementKind::InvoiceVoided => self.invoice_voided,
            StatementKind::CreditNote => self.credit_note,
            StatementKind::WriteOff => self.write_off,
            StatementKind::Payment => self.payment,
            StatementKind::PaymentReversed => self.payment_reversed,
            StatementKind::Refund => self.refund,
        }
    }
}

/// Fills in what stands for something. A value is never read as a text with places to fill.
fn fill(text: &str, values: &[(&str, String)]) -> String {
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        filled.push_str(before);
        let (name, after) = after.split_once('}').unwrap_or((after, ""));
        let value = values.iter().find(|(of, _)| *of == name);
        filled.push_str(value.map_or("", |(_, value)| value));
        rest = after;
    }
    filled.push_str(rest);
    filled
}

#[cfg(test)]
mod tests {
    use super::*;

    fn money(currency: &str, minor_units: i64) -> Money {
        Money::new(currency.parse().unwrap(), minor_units).unwrap()
    }

    #[test]
    fn amounts_have_the_decimals_of_their_currency() {
        let words = Language::English.words();
        assert_eq!(words.amount(money("EUR", 123_456_789)), "1,234,567.89");
        assert_eq!(words.amount(money("EUR", 5)), "0.05");
        assert_eq!(words.amount(money("EUR", 0)), "0.00");
        assert_eq!(words.amount(money("EUR", -100_000)), "−1,000.00");
        assert_eq!(words.amount(money("JPY", 1250)), "1,250");
        assert_eq!(words.amount(money("KWD", 1250)), "1.250");
        assert_eq!(words.money(money("USD", 1250)), "USD\u{a0}12.50");
    }

    #[test]
    fn numbers_and_dates_are_written_as_in_each_language() {
        let day = NaiveDate::from_ymd_opt(2027, 1, 3).unwrap();
        let rate = TaxRate::ppm(55_000).unwrap();
        let written = Language::ALL.map(|language| {
            let words = language.words();
            (
                words.money(money("EUR", 123_450)),
                words.rate(rate),
                words.day(day),
            )
        });
        let expected = [
            ("EUR\u{a0}1,234.50", "5.5%", "3\u{a0}Jan\u{a0}2027"),
            ("1.234,50\u{a0}EUR", "5,5\u{a0}%", "03.01.2027"),
            ("1\u{202f}234,50\u{a0}EUR", "5,5\u{a0}%", "03/01/2027"),
            ("1.234,50\u{a0}EUR", "5,5\u{a0}%", "03/01/2027"),
            ("1,234.50\u{a0}EUR", "5.5%", "03/01/2027"),
            ("1,234.50\u{a0}EUR", "5.5%", "03.01.2027"),
        ];
        for ((money, rate, day), expected) in written.iter().zip(expected) {
            assert_eq!((money.as_str(), rate.as_str(), day.as_str()), expected);
        }
        let words = Language::English.words();
        assert_eq!(words.rate(TaxRate::ppm(190_000).unwrap()), "19%");
        assert_eq!(words.rate(TaxRate::ppm(81_250).unwrap()), "8.125%");
        assert_eq!(words.rate(TaxRate::ZERO), "0%");
    }

    #[test]
    fn every_language_fills_in_all_that_it_is_given() {
        let day = NaiveDate::from_ymd_opt(2027, 1, 3).unwrap();
        for language in Language::ALL {
            let words = language.words();
            assert_eq!(language.code().parse(), Ok(language));
            let amount = money("EUR", 7_654_321);
            let texts = [
                (words.page(12, 34), vec!["12", "34"]),
                (words.void_note(day), vec!["2027"]),
                (words.discount(amount), vec!["321"]),
                (
                    words.tax_on(TaxRate::ppm(70_000).unwrap(), amount),
                    vec!["7", "54"],
                ),
                (
                    words.please_pay(amount, day, "N-{1}"),
                    vec!["EUR", "2027", "N-{1}"],
                ),
                (words.period(day, day.succ_opt().unwrap()), vec!["3", "4"]),
                (words.closing(day), vec!["2027"]),
                (words.what_is_owed(amount), vec!["EUR"]),
                (words.what_is_owed(amount.negated()), vec!["EUR"]),
            ];
            for (text, parts) in texts {
                for part in parts {
                    let digits = text.replace([',', '.', '\u{202f}'], "");
                    assert!(
                        text.contains(part) || digits.contains(part),
                        "{language}: {text}"
                    );
                }
                assert!(
                    !text.replace("N-{1}", "").contains(['{', '}']),
                    "{language}: {text}"
                );
            }
        }
    }
}
