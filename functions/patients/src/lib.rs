//! Patient records: the routes, and how the rest of the system learns of every change.
//!
//! One file per use case. [`storage`] reads and writes a patient as a whole: every change goes
//! through it, and leaves a version in the [`history`]. [`outbox`] delivers a change to billing and
//! Kafka; [`relay_outbox`] makes up for deliveries that did not succeed at once.

pub mod author;
pub mod create_patient;
pub mod delete_patient;
pub mod email_rule;
pub mod erase_patient;
pub mod get_patient;
pub mod get_patient_version;
pub mod history;
pub mod list_patient_history;
pub mod list_patients;
pub mod open_in_emergency;
pub mod outbox;
pub mod patient;
pub mod patient_input;
pub mod record;
pub mod relay_outbox;
pub mod restore_patient;
pub mod restrict_patient;
mod schema;
pub mod search;
pub mod search_patients;
pub mod storage;
mod stored_answer;
pub mod update_patient;

route::service! {
    tags("patients" = "Patient records"),
    list_patients::ROUTE => list_patients,
    create_patient::ROUTE => create_patient,
    get_patient::ROUTE => get_patient,
    update_patient::ROUTE => update_patient,
    delete_patient::ROUTE => delete_patient,
    restore_patient::ROUTE => restore_patient,
    erase_patient::ROUTE => erase_patient,
    list_patient_history::ROUTE => list_patient_history,
    get_patient_version::ROUTE => get_patient_version,
    search_patients::ROUTE => search_patients,
    restrict_patient::ROUTE => restrict_patient,
    open_in_emergency::ROUTE => open_in_emergency,
}
