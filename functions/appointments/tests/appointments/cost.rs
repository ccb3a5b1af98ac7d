//! What a booking has the database do.

use std::{collections::BTreeSet, time::Duration};

use serde_json::json;
use sqlx::PgPool;

use crate::clinic::{Clinic, at};

/// A clinic whose requests all have the same connection, with a clinician and a service.
struct OnOneConnection {
    clinic: Clinic,
    clinician: String,
    service: String,
}

impl OnOneConnection {
    async fn of(database: &PgPool) -> Self {
        let options = database.connect_options().as_ref().clone();
        let clinic = Clinic::new(store::pool_with(options, 1, Duration::from_secs(30)));
        let location = clinic.location("UTC").await;
        let clinician = clinic.clinician(&location, "00:00", "24:00").await;
        let service = clinic.service(json!({})).await;
        Self {
            clinic,
            clinician,
            service,
        }
    }

    async fn book(&self, start: &str, status: u16) {
        let patient = self.clinic.patient().await;
        let with = [self.clinician.as_str()];
        let answer = self
            .clinic
            .book(&patient, &self.service, &with, &at(3, start))
            .await;
        answer.is(status);
    }

    /// How often prepared statements have been executed so far.
    async fn executed(&self) -> i64 {
        let executed =
            "SELECT sum(generic_plans + custom_plans)::bigint FROM pg_prepared_statements
             WHERE statement !~ 'pg_prepared_statements|INSERT INTO patients.patient'";
        sqlx::query_scalar(executed)
            .fetch_one(&self.clinic.database)
            .await
            .unwrap()
    }
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn the_statements_of_a_booking_are_planned_once(database: PgPool) {
    let clinic = OnOneConnection::of(&database).await;
    for (start, status) in [("09:00", 201), ("09:00", 409), ("10:00", 201)] {
        clinic.book(start, status).await;
    }
    let planned: Vec<(String, i64)> = sqlx::query_as(
        "SELECT statement, custom_plans FROM pg_prepared_statements WHERE generic_plans > 0 AND statement LIKE '%appointments.%'",
    )
    .fetch_all(&clinic.clinic.database)
    .await
    .unwrap();
    let again = planned.iter().filter(|(_, custom)| *custom > 0);
    assert_eq!(again.collect::<Vec<_>>(), Vec::<&(String, i64)>::new());
    let known = ["resource", "hours", "occupancy", "waitlist_entry", "outbox"];
    let read: BTreeSet<&str> = known
        .into_iter()
        .filter(|table| {
            let name = format!("appointments.{table}");
            planned.iter().any(|(text, _)| text.contains(&name))
        })
        .collect();
    assert_eq!(read, BTreeSet::from(known));
}

/// Each of them is a round trip. Beginning and ending a transaction is not counted.
#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_booking_has_as_few_statements_as_it_can(database: PgPool) {
    let clinic = OnOneConnection::of(&database).await;
    clinic.book("08:00", 201).await;
    let mut executed = Vec::new();
    for (start, status) in [("09:00", 201), ("09:00", 409)] {
        let before = clinic.executed().await;
        clinic.book(start, status).await;
        executed.push(clinic.executed().await - before);
    }
    assert_eq!(executed, [14, 6], "a booking, with its delivery; a refusal");
}
