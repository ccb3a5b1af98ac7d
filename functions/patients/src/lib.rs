//! Patient records: the routes, and how the rest of the system hears of every change.
//!
//! One file per use case; [`outbox`] is how a change reaches billing and Kafka, and
//! [`relay_outbox`] what makes up for the deliveries that did not work at once.

pub mod create_patient;
pub mod delete_patient;
pub mod get_patient;
pub mod list_patients;
pub mod open_in_emergency;
pub mod outbox;
pub mod patient;
pub mod relay_outbox;
pub mod restrict_patient;
mod stored_answer;
pub mod update_patient;

/// The service's schema in the database.
const SCHEMA: &str = "patients";

/// The service's part of the API's documentation.
#[derive(Debug, utoipa::OpenApi)]
#[openapi(
    paths(
        list_patients::list_patients,
        create_patient::create_patient,
        get_patient::get_patient,
        update_patient::update_patient,
        delete_patient::delete_patient,
        restrict_patient::restrict_patient,
        open_in_emergency::open_in_emergency,
    ),
    tags((name = "patients", description = "Patient records"))
)]
pub struct Documentation;
