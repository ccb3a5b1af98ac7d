//! Amounts in requests.

use money::Money;

/// The amount is not one that could be paid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidAmount {
    #[error("The amount must be more than 0")]
    NotPositive,
    #[error("The amount must be 0 or more")]
    Negative,
}

/// More than 0.
pub(crate) fn positive(amount: Money) -> Result<Money, InvalidAmount> {
    if amount.minor_units() > 0 {
        Ok(amount)
    } else {
        Err(InvalidAmount::NotPositive)
    }
}

/// 0 or more.
pub(crate) fn not_negative(amount: Money) -> Result<Money, InvalidAmount> {
    if amount.minor_units() < 0 {
        Err(InvalidAmount::Negative)
    } else {
        Ok(amount)
    }
}
