//! The routes of billing, as the staff of a clinic call them, with the service running.

mod access;
mod before_delivery;
mod charges;
mod deliveries;
mod documents;
mod invoices;
mod office;
mod once;
mod payments;
mod prices;
mod refunds;
mod reports;
mod restricted;
mod statement_deliveries;
