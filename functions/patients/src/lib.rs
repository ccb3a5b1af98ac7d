//! Patient records: the routes, and how the rest of the system learns of every change.
//!
//! One file per use case. [`storage`] reads and writes a patient as a whole: every change goes
//! through it, and leaves a version in the [`history`]. [`outbox`] delivers a change to billing and
//! Kafka; [`relay_outbox`] makes up for deliveries that did not succeed at once.

pub mod author;
pub mod create_patient;
pub mod delete_patient;
pub mod duplicates;
pub mod email_rule;
pub mod erase_patient;
mod export;
mod family;
pub mod files;
pub mod get_patient;
pub mod get_patient_version;
mod groups;
pub mod history;
mod import;
mod list_length;
pub mod list_patient_history;
pub mod list_patients;
mod merges;
mod next_export;
pub mod open_in_emergency;
pub mod outbox;
mod page_on_record;
mod parts;
pub mod patient;
pub mod patient_input;
mod patient_lock;
mod patients_by_id;
pub mod record;
pub mod relay_outbox;
pub mod restore_patient;
pub mod restrict_patient;
mod schema;
pub mod search;
pub mod search_patients;
pub mod storage;
mod stored;
mod stored_answer;
mod tell_billing;
pub mod update_patient;

pub use duplicates::{
    check_duplicates, decide_duplicate, find_duplicates, list_duplicate_candidates,
};
pub use export::{get_export, run_exports, start_export};
pub use family::{end_relationship, get_family, record_relationship, replace_family};
pub use groups::{
    add_group_member, create_group, get_group, list_groups, remove_group_member, update_group,
};

pub use import::{get_import, run_imports, start_import};
pub use merges::{merge_patients, undo_merge};
pub use next_export::NextExport;

route::service! {
    tags(
        "patients" = "Patient records",
        "families" = "Who is related to a patient, and who lives with them",
        "groups" = "Patients who have something in common",
        "duplicates" = "Patients who may be one, and making them one",
    ),
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
    get_family::ROUTE => get_family,
    replace_family::ROUTE => replace_family,
    record_relationship::ROUTE => record_relationship,
    end_relationship::ROUTE => end_relationship,
    list_groups::ROUTE => list_groups,
    create_group::ROUTE => create_group,
    get_group::ROUTE => get_group,
    update_group::ROUTE => update_group,
    add_group_member::ROUTE => add_group_member,
    remove_group_member::ROUTE => remove_group_member,
    start_import::ROUTE => start_import,
    get_import::ROUTE => get_import,
    start_export::ROUTE => start_export,
    get_export::ROUTE => get_export,
    check_duplicates::ROUTE => check_duplicates,
    list_duplicate_candidates::ROUTE => list_duplicate_candidates,
    decide_duplicate::ROUTE => decide_duplicate,
    merge_patients::ROUTE => merge_patients,
    undo_merge::ROUTE => undo_merge,
}
