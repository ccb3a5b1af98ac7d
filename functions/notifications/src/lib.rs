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

route::service! {
    tags("notifications" = "Messages to patients"),
    list_notifications::ROUTE => list_notifications,
}
