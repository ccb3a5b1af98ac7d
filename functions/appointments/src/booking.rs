//! Who has which slot, and what becomes of it.

pub(crate) mod appointment;
pub mod book_appointment;
pub mod book_series;
pub mod cancel_appointment;
pub mod cancel_for_deleted_patient;
pub(crate) mod changing;
pub mod confirm_appointment;
pub mod fulfil_appointment;
pub mod get_appointment;
pub mod get_appointment_history;
pub mod link;
pub mod list_appointments;
pub(crate) mod occupancy;
pub(crate) mod plan;
pub mod record_arrival;
pub mod record_no_show;
pub mod relay_appointment_events;
pub mod reproject_appointments;
pub mod reschedule_appointment;
pub(crate) mod resources;
pub mod show_appointment_link;
pub(crate) mod start;
pub(crate) mod status;
pub mod use_appointment_link;
