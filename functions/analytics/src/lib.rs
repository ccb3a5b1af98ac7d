//! Analytics: how many patients were created, updated and deleted on which day, and how
//! old they were when they registered.
//!
//! [`count_patient_events`] keeps the counts up to date from Kafka, and
//! [`query_patient_analytics`] answers them. What the table looks like is said once, in
//! [`counters`].

pub mod age_band;
pub mod count_patient_events;
pub mod counters;
pub mod period;
pub mod query_patient_analytics;

route::service! {
    tags("analytics" = "Counts of what happened to patients"),
    query_patient_analytics::ROUTE => query_patient_analytics,
}
