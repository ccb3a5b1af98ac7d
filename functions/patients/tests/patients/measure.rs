//! What a registration costs the database: processor time of its server processes, which does not depend
//! on how the functions are built. Not a test: it says what it has measured.
//!
//! `cargo test -p patients --test patients -- --ignored --nocapture what_a_registration_costs`

use std::{fs, io::Write as _, time::Duration};

use axum::http::Method;
use sqlx::PgPool;

use crate::fixtures::{Call, with, zoe};

/// After as many that do not count.
const REGISTRATIONS: u32 = 500;

/// What the server process of the function has used so far (`schedstat` in proc(5)).
async fn used(database: &PgPool) -> Duration {
    let process = "SELECT pid FROM pg_stat_activity WHERE application_name = 'measured'";
    let process: i32 = sqlx::query_scalar(process)
        .fetch_one(database)
        .await
        .unwrap();
    let statistics = fs::read_to_string(format!("/proc/{process}/schedstat")).unwrap();
    let nanoseconds = statistics.split(' ').next().unwrap();
    Duration::from_nanos(nanoseconds.parse().unwrap())
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
#[ignore = "measures, and needs the database on this machine"]
async fn what_a_registration_costs(database: PgPool) {
    let options = database.connect_options().as_ref().clone();
    let options = options.application_name("measured");
    let measured = store::pool_with(options, 1, Duration::from_mins(1));
    let mut before = Duration::ZERO;
    for number in 0..2 * REGISTRATIONS {
        if number == REGISTRATIONS {
            before = used(&database).await;
        }
        let name = format!("Benchmark {number:06x}");
        let email = format!("benchmark.{number}@clinic.example");
        let body = with(with(zoe(), "email", email), "name", name);
        let call = Call::as_admin(&measured);
        let answer = call.send(Method::POST, "/api/patients", Some(&body)).await;
        assert_eq!(answer.status.as_u16(), 201, "{}", answer.body);
    }
    let each = used(&database).await.saturating_sub(before) / REGISTRATIONS;
    writeln!(std::io::stderr(), "{each:?} for a registration").unwrap();
}
