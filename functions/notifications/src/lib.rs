//! Notifications: welcomes new patients by e-mail, and shows what was sent to whom.
//!
//! [`notify_patients`] learns of new patients from Kafka; [`list_notifications`] returns what
//! became of each message. [`notification`] describes the table; [`attempt`] makes sure that only
//! one function at a time sends a message.

pub mod attempt;
pub mod list_notifications;
pub mod message;
pub mod notification;
pub mod notify_patients;

route::service! {
    tags("notifications" = "Messages to patients"),
    list_notifications::ROUTE => list_notifications,
}
