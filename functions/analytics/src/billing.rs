//! What is counted of billing: what was invoiced and paid on each day, and what becomes due when.

pub(crate) mod cell;
pub(crate) mod figures;
pub(crate) mod open;
