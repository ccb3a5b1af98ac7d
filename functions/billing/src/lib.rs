//! Billing: what patients are charged for, asked to pay and have paid.
//!
//! [`service`] is the gRPC service that keeps the books. It is a process of its own, because Lambda
//! cannot serve HTTP/2. The other modules are the API's routes, functions that call the service: what
//! things cost ([`prices`]), what patients are to pay for ([`charges`]) and are asked to pay
//! ([`invoices`]), what they have paid ([`payments`]) and get back ([`refunds`]), and what the books
//! say ([`reports`]). [`verify_ledger`] is what proves every day that they are right, and
//! [`relay_billing_events`] delivers what others have to hear of. [`record_appointment_charges`]
//! charges what took place, and [`compare_appointment_charges`] proves every day that it did.

mod access;
mod account;
mod amount;
mod answer;
pub mod charges;
pub mod compare_appointment_charges;
mod currency;
mod day;
mod flag;
pub mod get_billing_account;
pub mod invoices;
mod letterhead;
pub mod outbox;
mod page;
mod patients;
pub mod payments;
mod pdf_file;
pub mod prices;
mod problem;
pub mod record_appointment_charges;
pub mod refunds;
pub mod relay_billing_events;
pub mod reports;
pub mod service;
mod text;
pub mod verify_ledger;

pub use charges::{cancel_charge, get_charge, list_charges, list_patient_charges, record_charge};
pub use invoices::{
    credit_invoice, delete_invoice, draft_invoice, get_invoice, get_invoice_document,
    issue_invoice, list_invoices, list_patient_invoices, reject_write_off, send_invoice,
    update_invoice, void_invoice, write_off_invoice,
};
pub use letterhead::{InvalidLetterhead, Letterhead};
pub use payments::{
    allocate_payment, get_payment, list_patient_payments, record_payment, reverse_payment,
};
pub use prices::{list_prices, set_price};
pub use refunds::{
    approve_refund, complete_refund, get_refund, list_refunds, reject_refund, request_refund,
};
pub use reports::{
    export_ledger, get_aging, get_revenue, get_statement, get_statement_document, get_takings,
    send_statement,
};

route::service! {
    tags(
        "billing" = "The accounts through which patients are billed",
        "prices" = "What things cost",
        "charges" = "What patients are to pay for",
        "invoices" = "What patients are asked to pay",
        "payments" = "What patients have paid",
        "refunds" = "What patients get back",
        "billing-reports" = "What the books say",
    ),
    get_billing_account::ROUTE => get_billing_account,
    list_prices::ROUTE => list_prices,
    set_price::ROUTE => set_price,
    list_charges::ROUTE => list_charges,
    list_patient_charges::ROUTE => list_patient_charges,
    record_charge::ROUTE => record_charge,
    get_charge::ROUTE => get_charge,
    cancel_charge::ROUTE => cancel_charge,
    list_invoices::ROUTE => list_invoices,
    list_patient_invoices::ROUTE => list_patient_invoices,
    draft_invoice::ROUTE => draft_invoice,
    get_invoice::ROUTE => get_invoice,
    get_invoice_document::ROUTE => get_invoice_document,
    update_invoice::ROUTE => update_invoice,
    delete_invoice::ROUTE => delete_invoice,
    issue_invoice::ROUTE => issue_invoice,
    send_invoice::ROUTE => send_invoice,
    void_invoice::ROUTE => void_invoice,
    write_off_invoice::ROUTE => write_off_invoice,
    reject_write_off::ROUTE => reject_write_off,
    credit_invoice::ROUTE => credit_invoice,
    list_patient_payments::ROUTE => list_patient_payments,
    record_payment::ROUTE => record_payment,
    get_payment::ROUTE => get_payment,
    allocate_payment::ROUTE => allocate_payment,
    reverse_payment::ROUTE => reverse_payment,
    list_refunds::ROUTE => list_refunds,
    request_refund::ROUTE => request_refund,
    get_refund::ROUTE => get_refund,
    approve_refund::ROUTE => approve_refund,
    reject_refund::ROUTE => reject_refund,
    complete_refund::ROUTE => complete_refund,
    get_statement::ROUTE => get_statement,
    get_statement_document::ROUTE => get_statement_document,
    send_statement::ROUTE => send_statement,
    get_aging::ROUTE => get_aging,
    get_revenue::ROUTE => get_revenue,
    get_takings::ROUTE => get_takings,
    export_ledger::ROUTE => export_ledger,
}
