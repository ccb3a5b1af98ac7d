//! Reports: what the books say.

pub mod export_ledger;
pub mod get_aging;
pub mod get_revenue;
pub mod get_statement;
pub mod get_statement_document;
pub mod get_takings;
pub mod send_statement;
mod statement;

pub(crate) use statement::{MOST_LINES, PrintedStatement, TooManyLines};
