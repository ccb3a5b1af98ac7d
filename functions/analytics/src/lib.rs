//! Analytics: how many patients were created, updated and deleted on which day, and how old they
//! were when they were registered.
//!
//! [`count_patient_events`] keeps the counts up to date from Kafka; [`query_patient_analytics`]
//! returns them. [`counters`] describes the table.

pub mod age_band;
pub mod count_patient_events;
pub mod counters;
mod months;
pub mod period;
pub mod query_patient_analytics;

route::service! {
    tags("analytics" = "Statistics on patients"),
    query_patient_analytics::ROUTE => query_patient_analytics,
}
