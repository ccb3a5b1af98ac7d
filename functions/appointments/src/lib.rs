//! Appointments: when patients can come, who has which slot, and what becomes of it.
//!
//! [`schedule`] says when locations, clinicians, rooms and devices are there, and computes the slots
//! in which a service can be had. [`booking`] gives each slot to whom the database lets have it, and
//! keeps what becomes of the appointment. [`waitlist`] remembers who would like to come.

mod clock;
#[macro_use]
mod database_enum;
pub mod booking;
pub mod outbox;
mod patient;
mod period;
pub mod schedule;
mod schema;
mod stored_answer;
pub mod waitlist;

pub use booking::{
    book_appointment, book_series, cancel_appointment, confirm_appointment, fulfil_appointment,
    get_appointment, get_appointment_history, list_appointments, record_arrival, record_no_show,
    reschedule_appointment, show_appointment_link, use_appointment_link,
};
pub use schedule::{
    close_location, create_location, create_resource, create_service, find_availability,
    list_absences, list_locations, list_resources, list_services, open_location, record_absence,
    remove_absence, remove_exception, replace_exception, replace_hours, third_next_available,
};
pub use waitlist::{join_waitlist, leave_waitlist, list_waitlist};

route::service! {
    tags(
        "schedules" = "When patients can come",
        "appointments" = "Who comes when, and what becomes of it",
    ),
    list_locations::ROUTE => list_locations,
    create_location::ROUTE => create_location,
    close_location::ROUTE => close_location,
    open_location::ROUTE => open_location,
    list_resources::ROUTE => list_resources,
    create_resource::ROUTE => create_resource,
    replace_hours::ROUTE => replace_hours,
    replace_exception::ROUTE => replace_exception,
    remove_exception::ROUTE => remove_exception,
    list_absences::ROUTE => list_absences,
    record_absence::ROUTE => record_absence,
    remove_absence::ROUTE => remove_absence,
    list_services::ROUTE => list_services,
    create_service::ROUTE => create_service,
    find_availability::ROUTE => find_availability,
    third_next_available::ROUTE => third_next_available,
    list_appointments::ROUTE => list_appointments,
    book_appointment::ROUTE => book_appointment,
    get_appointment::ROUTE => get_appointment,
    get_appointment_history::ROUTE => get_appointment_history,
    confirm_appointment::ROUTE => confirm_appointment,
    reschedule_appointment::ROUTE => reschedule_appointment,
    cancel_appointment::ROUTE => cancel_appointment,
    record_arrival::ROUTE => record_arrival,
    fulfil_appointment::ROUTE => fulfil_appointment,
    record_no_show::ROUTE => record_no_show,
    book_series::ROUTE => book_series,
    show_appointment_link::ROUTE => show_appointment_link,
    use_appointment_link::ROUTE => use_appointment_link,
    list_waitlist::ROUTE => list_waitlist,
    join_waitlist::ROUTE => join_waitlist,
    leave_waitlist::ROUTE => leave_waitlist,
}
