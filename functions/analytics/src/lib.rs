//! Analytics: how many patients were created, updated and deleted on which day, and how old they
//! were when they were registered; what became of the appointments of each day; and what was invoiced
//! and paid on each day, and open at its end.
//!
//! [`count_patient_events`], [`count_appointment_events`] and [`count_billing_events`] keep the counts
//! up to date from Kafka; [`query_patient_analytics`], [`query_appointment_analytics`] and
//! [`query_billing_analytics`] return them. [`counters`] describes the table.

mod additions;
pub mod age_band;
mod appointments;
mod billing;
pub mod count_appointment_events;
pub mod count_billing_events;
pub mod count_patient_events;
pub mod counters;
mod counting;
mod months;
pub mod period;
pub mod query_appointment_analytics;
pub mod query_billing_analytics;
pub mod query_patient_analytics;

route::service! {
    tags("analytics" = "Statistics on patients, appointments and billing"),
    query_appointment_analytics::ROUTE => query_appointment_analytics,
    query_billing_analytics::ROUTE => query_billing_analytics,
    query_patient_analytics::ROUTE => query_patient_analytics,
}
