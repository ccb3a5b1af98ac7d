//! Analytics: how many patients were created, updated and deleted on which day, and how old they
//! were when they were registered; and what became of the appointments of each day.
//!
//! [`count_patient_events`] and [`count_appointment_events`] keep the counts up to date from Kafka;
//! [`query_patient_analytics`] and [`query_appointment_analytics`] return them. [`counters`]
//! describes the table.

pub mod age_band;
mod appointments;
pub mod count_appointment_events;
pub mod count_patient_events;
pub mod counters;
mod months;
pub mod period;
pub mod query_appointment_analytics;
pub mod query_patient_analytics;

route::service! {
    tags("analytics" = "Statistics on patients and appointments"),
    query_appointment_analytics::ROUTE => query_appointment_analytics,
    query_patient_analytics::ROUTE => query_patient_analytics,
}
