//! The figures that analytics show, and the same counted in PostgreSQL.
//!
//! The stack has nothing but what the drill has made, so that nothing has to be subtracted. Patients
//! are counted in the audit trail, which remembers those who were erased.

use std::collections::BTreeMap;

use anyhow::Result;
use chrono::{Days, Utc};
use identity::Role;
use serde_json::Value;
use sqlx::PgPool;
use system_tests::Clinic;

/// How far ahead appointments are looked for.
const AHEAD: Days = Days::new(60);

/// What is counted of patients: as the figures name it, and the actions of the audit trail.
const PATIENTS: [(&str, &str); 5] = [
    ("created", "CREATE_PATIENT"),
    ("updated", "UPDATE_PATIENT"),
    ("deleted", "DELETE_PATIENT"),
    ("restored", "RESTORE_PATIENT"),
    ("erased", "ERASE_PATIENT"),
];

/// What became of appointments: as the figures name it, and as a question to the database.
const APPOINTMENTS: [(&str, &str); 9] = [
    (
        "/appointments",
        "SELECT count(*) FROM appointments.appointment",
    ),
    (
        "/booked",
        "SELECT count(*) FROM appointments.appointment WHERE status = 'BOOKED'",
    ),
    (
        "/arrived",
        "SELECT count(*) FROM appointments.appointment WHERE status = 'ARRIVED'",
    ),
    (
        "/fulfilled",
        "SELECT count(*) FROM appointments.appointment WHERE status = 'FULFILLED'",
    ),
    (
        "/cancelled",
        "SELECT count(*) FROM appointments.appointment WHERE status = 'CANCELLED'",
    ),
    (
        "/rescheduled",
        "SELECT count(DISTINCT appointment_id) FROM appointments.history WHERE change = 'RESCHEDULED'",
    ),
    (
        "/activity/booked",
        "SELECT count(*) FROM appointments.history WHERE change = 'BOOKED'",
    ),
    (
        "/activity/rescheduled",
        "SELECT count(*) FROM appointments.history WHERE change = 'RESCHEDULED'",
    ),
    (
        "/activity/cancelled",
        "SELECT count(*) FROM appointments.history WHERE change = 'CANCELLED'",
    ),
];

/// What was billed, in the order of [`BOOKS`].
const BILLING: [&str; 4] = [
    "/revenue/issued",
    "/revenue/tax",
    "/takings/total/net",
    "/aging/total",
];

/// The same, from the ledger.
const BOOKS: &str = "
    SELECT ARRAY[
        coalesce(-sum(amount) FILTER (WHERE account.kind = 'REVENUE'), 0),
        coalesce(-sum(amount) FILTER (WHERE account.kind = 'TAX'), 0),
        coalesce(sum(amount) FILTER (WHERE account.kind IN ('CASH', 'CARD', 'TRANSFER')), 0),
        coalesce(sum(amount) FILTER (WHERE account.kind = 'RECEIVABLE'), 0)
    ]::bigint[]
    FROM billing.posting
    JOIN billing.ledger_account AS account ON account.id = posting.ledger_account_id";

/// Each figure by its name: as it is shown, and as it is counted.
#[derive(Debug, Default)]
pub(crate) struct Figures(pub(crate) BTreeMap<String, (i64, i64)>);

impl Figures {
    /// Reads both.
    pub(crate) async fn take(clinic: &Clinic, database: &PgPool) -> Result<Self> {
        let mut figures = Self::default();
        figures.of_patients(clinic, database).await?;
        figures.of_appointments(clinic, database).await?;
        figures.of_billing(clinic, database).await?;
        Ok(figures)
    }

    async fn of_patients(&mut self, clinic: &Clinic, database: &PgPool) -> Result<()> {
        let body = shown(clinic, "patients").await;
        for (name, action) in PATIENTS {
            let counted = sqlx::query_scalar(
                "SELECT count(*) FROM audit.record WHERE outcome = 'SUCCEEDED' AND action = $1",
            );
            let counted = counted.bind(action).fetch_one(database).await?;
            self.add("patients", name, &body["totals"][name], counted);
        }
        let bands = body["totals"]["ageBands"].as_object();
        let bands = bands.into_iter().flat_map(|bands| bands.values());
        let all: i64 = bands.filter_map(Value::as_i64).sum();
        let (_, created) = self.0["patients created"];
        self.add("patients", "of any age", &all.into(), created);
        Ok(())
    }

    async fn of_appointments(&mut self, clinic: &Clinic, database: &PgPool) -> Result<()> {
        let body = shown(clinic, "appointments").await;
        for (name, count) in APPOINTMENTS {
            let counted = sqlx::query_scalar(count).fetch_one(database).await?;
            let shown = body["totals"].pointer(name).unwrap_or(&Value::Null);
            self.add("appointments", name, shown, counted);
        }
        Ok(())
    }

    async fn of_billing(&mut self, clinic: &Clinic, database: &PgPool) -> Result<()> {
        let body = shown(clinic, "billing").await;
        let books: Vec<i64> = sqlx::query_scalar(BOOKS).fetch_one(database).await?;
        for (name, counted) in BILLING.into_iter().zip(books) {
            let shown = body["totals"][0].pointer(&format!("{name}/minorUnits"));
            self.add("billing", name, shown.unwrap_or(&Value::Null), counted);
        }
        Ok(())
    }

    fn add(&mut self, about: &str, name: &str, shown: &Value, counted: i64) {
        let shown = shown.as_i64().unwrap_or(-1);
        let name = name.trim_start_matches('/');
        self.0.insert(format!("{about} {name}"), (shown, counted));
    }
}

/// From yesterday on, because midnight may have passed.
async fn shown(clinic: &Clinic, about: &str) -> Value {
    let today = Utc::now().date_naive();
    let (from, to) = (today - Days::new(1), today + AHEAD);
    let path = format!("/api/analytics/{about}?from={from}&to={to}");
    let visitor = clinic.log_in(Role::Admin).await;
    visitor.get(&path).answers(200).await.json()
}
