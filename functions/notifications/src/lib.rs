//! Notifications: messages to patients, how patients want to be reached, and what was sent to whom.
//!
//! [`notify_patients`] learns of new patients from Kafka and welcomes them; [`notification`]
//! describes the table of these messages, and [`attempt`] makes sure that only one function at a
//! time sends one. [`list_notifications`] returns what became of each message.
//!
//! How a patient wants to be reached is in [`preferences`], and what messages about appointments say
//! in [`template`]. [`schedule_messages`] learns of appointments from Kafka, and stores which
//! messages are due when; [`send_due_messages`] sends
//! them, and [`record_deliveries`] learns what became of them. Patients opt out with [`unsubscribe`].

pub mod attempt;
mod built_in_templates;
pub mod calendar;
pub mod change_notification_preferences;
pub mod change_notification_template;
pub mod get_notification_preferences;
pub mod get_notification_template;
pub mod language;
pub mod list_notifications;
mod local_time;
pub mod message;
pub mod notification;
pub mod notify_patients;
pub mod occasion;
pub mod pace;
pub mod preferences;
pub mod preview_notification_template;
pub mod public_url;
pub mod quiet_hours;
pub mod record_deliveries;
pub mod reminder;
pub mod schedule_messages;
pub mod send_due_messages;
pub mod suppression;
pub mod template;
pub mod text_message;
pub mod unsubscribe;
mod unsubscribe_token;
pub mod verdict;

route::service! {
    tags("notifications" = "Messages to patients"),
    list_notifications::ROUTE => list_notifications,
    get_notification_preferences::ROUTE => get_notification_preferences,
    change_notification_preferences::ROUTE => change_notification_preferences,
    get_notification_template::ROUTE => get_notification_template,
    change_notification_template::ROUTE => change_notification_template,
    preview_notification_template::ROUTE => preview_notification_template,
    unsubscribe::PAGE => show_unsubscribe_page,
    unsubscribe::ROUTE => unsubscribe,
}
