//! Currencies in requests.

use money::Currency;

/// As the service reads it; nothing for the clinic's own.
pub(crate) fn code_of(currency: Option<Currency>) -> String {
    let code = currency.map(|currency| currency.code().to_owned());
    code.unwrap_or_default()
}
