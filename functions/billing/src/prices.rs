//! Prices: what the clinic's services cost, each from a day on.

pub mod list_prices;
mod price;
pub mod set_price;
