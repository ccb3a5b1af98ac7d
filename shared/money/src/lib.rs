//! Amounts of money: whole numbers of a currency's smallest unit.
//!
//! Nothing here is a fraction. Tax is rounded once, half up; what is split adds up to what there
//! was. Whatever would leave the bounds is an error, not another number.

mod currency;

use std::fmt;

use contracts::billing::v1 as wire;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use currency::{Currency, UnknownCurrency};

/// The largest amount in either direction, in the smallest unit: more than any clinic has ever
/// seen, while a JavaScript number holds the sum of nine thousand of them exactly, and 64 bits that of
/// nine million.
pub const MAX_MINOR_UNITS: i64 = 1_000_000_000_000;

/// What [`TaxRate`] counts in.
const MILLION: i128 = 1_000_000;

/// An amount of money, which may be negative. What is sent is at most 1000000000000 of the currency's
/// smallest unit in either direction; what amounts come to together may be more.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", try_from = "Unchecked")]
#[schema(example = json!({ "currency": "EUR", "minorUnits": 1250 }))]
pub struct Money {
    /// The currency, by its code.
    #[schema(required)]
    currency: Currency,
    /// The amount in the smallest unit of the currency: 1250 is 12.50 EUR, and 1250 JPY.
    #[schema(required, minimum = -9_007_199_254_740_991i64, maximum = 9_007_199_254_740_991i64)]
    minor_units: i64,
}

/// An amount as it is written in JSON, before its bounds are checked.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Unchecked {
    currency: Currency,
    minor_units: i64,
}

impl TryFrom<Unchecked> for Money {
    type Error = OutOfBounds;

    fn try_from(money: Unchecked) -> Result<Self, OutOfBounds> {
        Self::new(money.currency, money.minor_units)
    }
}

/// The amount is larger than any clinic has ever seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("Must be an amount between -{MAX_MINOR_UNITS} and {MAX_MINOR_UNITS}")]
pub struct OutOfBounds;

/// Two amounts cannot be added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CannotAdd {
    /// They are of different currencies.
    #[error("the amounts are of different currencies")]
    DifferentCurrencies,
    /// Their sum is out of bounds.
    #[error(transparent)]
    OutOfBounds(#[from] OutOfBounds),
}

/// A message from another service is not an amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidMoney {
    /// Its currency is not known.
    #[error(transparent)]
    Currency(#[from] UnknownCurrency),
    /// It is out of bounds.
    #[error(transparent)]
    OutOfBounds(#[from] OutOfBounds),
}

/// A tax rate in millionths, from 0 to 1: 190000 is 19 %.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaxRate(u32);

/// The rate is above 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("Must be between 0 and 1000000")]
pub struct InvalidTaxRate;

impl TaxRate {
    /// No tax.
    pub const ZERO: Self = Self(0);

    /// The rate of so many millionths.
    ///
    /// # Errors
    /// If it is above 1.
    pub const fn ppm(millionths: u32) -> Result<Self, InvalidTaxRate> {
        if millionths > 1_000_000 {
            return Err(InvalidTaxRate);
        }
        Ok(Self(millionths))
    }

    /// The rate in millionths.
    #[must_use]
    pub const fn millionths(self) -> u32 {
        self.0
    }
}

impl Money {
    /// So many of the currency's smallest unit.
    ///
    /// # Errors
    /// If it is beyond [`MAX_MINOR_UNITS`].
    pub const fn new(currency: Currency, minor_units: i64) -> Result<Self, OutOfBounds> {
        if minor_units > MAX_MINOR_UNITS || minor_units < -MAX_MINOR_UNITS {
            return Err(OutOfBounds);
        }
        Ok(Self {
            currency,
            minor_units,
        })
    }

    /// So many of the currency's smallest unit, without a bound: what amounts come to together, or what
    /// is in the books already. Nobody could read them otherwise.
    #[must_use]
    pub const fn sum(currency: Currency, minor_units: i64) -> Self {
        Self {
            currency,
            minor_units,
        }
    }

    /// Nothing, in this currency.
    #[must_use]
    pub const fn zero(currency: Currency) -> Self {
        Self {
            currency,
            minor_units: 0,
        }
    }

    /// The currency.
    #[must_use]
    pub const fn currency(self) -> Currency {
        self.currency
    }

    /// How many of the currency's smallest unit.
    #[must_use]
    pub const fn minor_units(self) -> i64 {
        self.minor_units
    }

    /// The sum of both.
    ///
    /// # Errors
    /// If they are of different currencies, or the sum is out of bounds.
    pub fn plus(self, other: Self) -> Result<Self, CannotAdd> {
        if self.currency != other.currency {
            return Err(CannotAdd::DifferentCurrencies);
        }
        let sum = i128::from(self.minor_units) + i128::from(other.minor_units);
        Ok(self.bounded(sum)?)
    }

    /// What is left if the other is taken away.
    ///
    /// # Errors
    /// If they are of different currencies, or the difference is out of bounds.
    pub fn minus(self, other: Self) -> Result<Self, CannotAdd> {
        self.plus(other.negated())
    }

    /// The same amount in the other direction.
    #[must_use]
    pub const fn negated(self) -> Self {
        Self {
            minor_units: self.minor_units.saturating_neg(),
            ..self
        }
    }

    /// So many times the amount.
    ///
    /// # Errors
    /// If it is out of bounds.
    pub fn times(self, count: u32) -> Result<Self, OutOfBounds> {
        self.bounded(i128::from(self.minor_units) * i128::from(count))
    }

    /// The tax on the amount, rounded half up: away from zero, so that taking back is the exact
    /// opposite of charging.
    #[must_use]
    pub fn tax(self, rate: TaxRate) -> Self {
        self.share(i128::from(rate.0), MILLION)
    }

    /// The part of the amount that is `of` a whole, rounded half up. For what has to add up in the
    /// end, take the share of each running total, and the differences.
    #[must_use]
    pub fn portion(self, part: Self, of: Self) -> Self {
        if of.minor_units == 0 {
            return Self::zero(self.currency);
        }
        self.share(i128::from(part.minor_units), i128::from(of.minor_units))
    }

    /// The amount divided in proportion to the weights, to the last unit: what rounding leaves goes
    /// to the largest remainders, the first of them if they are equal. Weights of 0 get nothing, and
    /// if all are 0, nobody gets anything: then there is no answer.
    #[must_use]
    pub fn split(self, weights: &[u64]) -> Option<Vec<Self>> {
        let whole: i128 = weights.iter().copied().map(i128::from).sum();
        if whole == 0 {
            return None;
        }
        let amount = i128::from(self.minor_units).abs();
        let shares = weights.iter().map(|&weight| amount * i128::from(weight));
        let (mut parts, remainders): (Vec<i128>, Vec<i128>) =
            shares.map(|share| (share / whole, share % whole)).unzip();
        let left = amount - parts.iter().sum::<i128>();
        let mut by_remainder: Vec<usize> = (0..parts.len()).collect();
        by_remainder.sort_by_key(|&at| std::cmp::Reverse(remainders[at]));
        // Less than one unit is left for each part, so that nobody gets two.
        let left = usize::try_from(left).unwrap_or_default();
        for &at in by_remainder.iter().take(left) {
            parts[at] += 1;
        }
        let sign = i128::from(self.minor_units.signum());
        let parts = parts.into_iter().map(|part| self.part(part * sign));
        Some(parts.collect())
    }

    /// The amount times a fraction between -1 and 1, rounded half away from zero.
    fn share(self, part: i128, whole: i128) -> Self {
        let twice = 2 * i128::from(self.minor_units) * part;
        let (twice, whole) = if whole < 0 {
            (-twice, -whole)
        } else {
            (twice, whole)
        };
        let rounded = (twice.abs() + whole) / (2 * whole);
        self.part(rounded * twice.signum())
    }

    fn bounded(self, minor_units: i128) -> Result<Self, OutOfBounds> {
        let minor_units = i64::try_from(minor_units).map_err(|_| OutOfBounds)?;
        Self::new(self.currency, minor_units)
    }

    /// For what is a part of the amount, and so not beyond it.
    fn part(self, minor_units: i128) -> Self {
        let bound = i128::from(self.minor_units).abs();
        let minor_units = minor_units.clamp(-bound, bound);
        Self {
            minor_units: i64::try_from(minor_units).unwrap_or_default(),
            ..self
        }
    }
}

/// As in `12.50 EUR`.
impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let decimals = usize::from(self.currency.decimals());
        let digits = format!(
            "{:0width$}",
            self.minor_units.unsigned_abs(),
            width = decimals + 1
        );
        let (whole, fraction) = digits.split_at(digits.len() - decimals);
        let sign = if self.minor_units < 0 { "-" } else { "" };
        let point = if decimals == 0 { "" } else { "." };
        write!(f, "{sign}{whole}{point}{fraction} {}", self.currency)
    }
}

impl fmt::Debug for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<Money> for wire::Money {
    fn from(money: Money) -> Self {
        Self {
            currency_code: money.currency.code().to_owned(),
            minor_units: money.minor_units,
        }
    }
}

impl TryFrom<&wire::Money> for Money {
    type Error = InvalidMoney;

    fn try_from(money: &wire::Money) -> Result<Self, InvalidMoney> {
        Ok(Self::new(money.currency_code.parse()?, money.minor_units)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn money(code: &str, minor_units: i64) -> Money {
        Money::new(code.parse().unwrap(), minor_units).unwrap()
    }

    fn eur(minor_units: i64) -> Money {
        money("EUR", minor_units)
    }

    fn parts(amount: i64, weights: &[u64]) -> Vec<i64> {
        let parts = eur(amount).split(weights).unwrap();
        parts.into_iter().map(Money::minor_units).collect()
    }

    #[test]
    fn money_is_written_in_its_smallest_unit() {
        let json = r#"{"currency":"EUR","minorUnits":1250}"#;
        assert_eq!(serde_json::to_string(&eur(1250)).unwrap(), json);
        assert_eq!(serde_json::from_str::<Money>(json).unwrap(), eur(1250));
        for wrong in [
            r#"{"currency":"eur","minorUnits":1}"#,
            r#"{"currency":"EUR","minorUnits":1.5}"#,
            r#"{"currency":"EUR","minorUnits":"1"}"#,
            r#"{"currency":"EUR","minorUnits":1000000000001}"#,
            r#"{"currency":"EUR","minorUnits":-9223372036854775808}"#,
            r#"{"currency":"EUR","minorUnits":1,"cents":1}"#,
            r#"{"minorUnits":1}"#,
        ] {
            assert!(serde_json::from_str::<Money>(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_amount_is_shown_with_the_decimals_of_its_currency() {
        assert_eq!(eur(1250).to_string(), "12.50 EUR");
        assert_eq!(eur(-5).to_string(), "-0.05 EUR");
        assert_eq!(money("JPY", 1250).to_string(), "1250 JPY");
        assert_eq!(money("KWD", 1).to_string(), "0.001 KWD");
    }

    /// What is in the books can be read, however much it is.
    #[test]
    fn a_sum_is_not_bounded() {
        let sum = |minor_units| Money::sum(Currency::EUR, minor_units);
        let written = r#"{"currency":"EUR","minorUnits":9000000000000000000}"#;
        assert_eq!(
            serde_json::to_string(&sum(9 * 10_i64.pow(18))).unwrap(),
            written
        );
        assert_eq!(sum(i64::MIN).to_string(), "-92233720368547758.08 EUR");
        assert_eq!(sum(i64::MIN).negated(), sum(i64::MAX));
        assert_eq!(sum(7), eur(7));
        let parts = sum(i64::MAX).split(&[1, 1]).unwrap();
        assert_eq!(parts, [sum(i64::MAX / 2 + 1), sum(i64::MAX / 2)]);
    }

    #[test]
    fn amounts_of_different_currencies_do_not_add_up() {
        assert_eq!(eur(1).plus(eur(2)), Ok(eur(3)));
        assert_eq!(eur(1).minus(eur(2)), Ok(eur(-1)));
        assert_eq!(
            eur(1).plus(money("JPY", 1)),
            Err(CannotAdd::DifferentCurrencies)
        );
        let most = eur(MAX_MINOR_UNITS);
        assert_eq!(most.plus(eur(1)), Err(OutOfBounds.into()));
        assert_eq!(most.times(2), Err(OutOfBounds));
        assert_eq!(most.times(u32::MAX), Err(OutOfBounds));
    }

    #[test]
    fn tax_is_rounded_half_up_once() {
        let tax = |amount, ppm| eur(amount).tax(TaxRate::ppm(ppm).unwrap()).minor_units();
        assert_eq!(tax(1000, 190_000), 190);
        assert_eq!(tax(50, 190_000), 10, "9.5");
        assert_eq!(tax(-50, 190_000), -10, "-9.5");
        assert_eq!(tax(49, 190_000), 9, "9.31");
        assert_eq!(tax(1, 499_999), 0);
        assert_eq!(tax(1, 500_000), 1);
        assert_eq!(tax(MAX_MINOR_UNITS, 1_000_000), MAX_MINOR_UNITS);
        assert_eq!(TaxRate::ppm(1_000_001), Err(InvalidTaxRate));
    }

    #[test]
    fn parts_add_up_to_the_whole() {
        assert_eq!(parts(100, &[1, 1, 1]), [34, 33, 33]);
        assert_eq!(parts(-100, &[1, 1, 1]), [-34, -33, -33]);
        assert_eq!(parts(1, &[1, 2]), [0, 1]);
        assert_eq!(parts(10, &[0, 1]), [0, 10]);
        assert_eq!(parts(0, &[1, 1]), [0, 0]);
        assert_eq!(eur(10).split(&[0, 0]), None);
        assert_eq!(eur(10).split(&[]), None);
        let most = parts(MAX_MINOR_UNITS, &[u64::MAX, 1, u64::MAX]);
        assert_eq!(most.iter().sum::<i64>(), MAX_MINOR_UNITS);
    }

    /// Every amount up to 200 in parts of all kinds: nothing is lost, and nobody is off by a unit.
    #[test]
    fn no_part_is_a_unit_away_from_its_share() {
        for amount in 0..200 {
            for weights in [[1, 2, 3], [7, 7, 7], [0, 1, 1000], [19, 1, 5]] {
                let parts = parts(amount, &weights);
                let whole: u64 = weights.iter().sum();
                assert_eq!(parts.iter().sum::<i64>(), amount);
                for (part, weight) in parts.into_iter().zip(weights) {
                    let off = i128::from(part) * i128::from(whole)
                        - i128::from(amount) * i128::from(weight);
                    assert!(off.abs() < i128::from(whole), "{amount} {weights:?}");
                }
            }
        }
    }

    #[test]
    fn shares_of_running_totals_end_with_the_whole() {
        let (tax, total) = (eur(19), eur(119));
        let credited = [30, 60, 119].map(|part| tax.portion(eur(part), total));
        assert_eq!(credited, [eur(5), eur(10), eur(19)]);
        assert_eq!(tax.portion(eur(1), eur(0)), eur(0));
    }

    #[test]
    fn what_comes_from_another_service_is_checked() {
        let sent = wire::Money::from(eur(1250));
        assert_eq!(Money::try_from(&sent), Ok(eur(1250)));
        let unknown = wire::Money {
            currency_code: "EURO".to_owned(),
            minor_units: 1,
        };
        assert_eq!(Money::try_from(&unknown), Err(UnknownCurrency.into()));
        let huge = wire::Money {
            minor_units: i64::MIN,
            ..sent
        };
        assert_eq!(Money::try_from(&huge), Err(OutOfBounds.into()));
    }
}
