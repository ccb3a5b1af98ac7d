//! When patients can come: locations, resources, services, hours, and what follows from them.

pub(crate) mod calendar;
pub(crate) mod changing;
pub mod close_location;
pub mod create_location;
pub mod create_resource;
pub mod create_service;
pub mod find_availability;
pub mod list_absences;
pub mod list_locations;
pub mod list_resources;
pub mod list_services;
pub(crate) mod location;
pub mod open_location;
pub mod orphans;
pub mod record_absence;
pub mod remove_absence;
pub mod remove_exception;
pub mod replace_exception;
pub mod replace_hours;
pub(crate) mod resource;
pub(crate) mod service;
pub(crate) mod slots;
pub(crate) mod text;
pub mod third_next_available;
pub(crate) mod windows;
