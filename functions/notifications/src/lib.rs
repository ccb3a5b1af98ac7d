//! Notifications: welcomes new patients by e-mail, and shows what was sent to whom.
//!
//! [`notify_patients`] hears of new patients from Kafka, [`list_notifications`] answers what
//! became of each message. What the table looks like is said in [`notification`]; that a
//! message is sent by one function at a time is the business of [`attempt`].

pub mod attempt;
pub mod list_notifications;
pub mod message;
pub mod notification;
pub mod notify_patients;

/// The service's part of the API's documentation.
#[derive(Debug, utoipa::OpenApi)]
#[openapi(
    paths(list_notifications::list_notifications),
    tags((name = "notifications", description = "Messages to patients"))
)]
pub struct Documentation;
