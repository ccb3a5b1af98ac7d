//! The same time every week.

use serde_json::{Value, json};
use sqlx::PgPool;

use crate::clinic::Clinic;

fn series(patient: &str, service: &str, start: &str, occurrences: u32) -> Value {
    json!({ "patientId": patient, "serviceId": service, "start": start, "occurrences": occurrences })
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_series_keeps_its_time_on_the_clock(database: PgPool) {
    let clinic = Clinic::new(database);
    let location = clinic.location("Europe/London").await;
    clinic.clinician(&location, "09:00", "17:00").await;
    let service = clinic.service(json!({})).await;
    let patient = clinic.patient().await;
    let answer = clinic
        .post(
            "/api/appointment-series",
            series(&patient, &service, "2027-03-22T09:00:00Z", 3),
        )
        .await
        .is(201);
    let booked = answer.body["appointments"].as_array().unwrap();
    let starts: Vec<&str> = booked
        .iter()
        .map(|one| one["start"].as_str().unwrap())
        .collect();
    assert_eq!(
        starts,
        [
            "2027-03-22T09:00:00Z",
            "2027-03-29T08:00:00Z",
            "2027-04-05T08:00:00Z"
        ]
    );
    for one in booked {
        assert_eq!(one["seriesId"], answer.body["id"]);
        assert_eq!(clinic.heard(one["id"].as_str().unwrap()).await, ["booked"]);
    }
    clinic.must_be_consistent().await;
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_series_is_booked_whole_or_not_at_all(database: PgPool) {
    let clinic = Clinic::new(database);
    let location = clinic.location("Europe/London").await;
    let clinician = clinic.clinician(&location, "09:00", "17:00").await;
    let service = clinic.service(json!({})).await;
    let (one, other) = (clinic.patient().await, clinic.patient().await);
    for start in ["2027-03-29T08:00:00Z", "2027-04-05T08:00:00Z"] {
        clinic
            .book(&other, &service, &[&clinician], start)
            .await
            .is(201);
    }
    let answer = clinic
        .post(
            "/api/appointment-series",
            series(&one, &service, "2027-03-22T09:00:00", 4),
        )
        .await
        .is(409);
    let conflicts = answer.body["conflicts"].as_array().unwrap();
    let starts: Vec<&str> = conflicts
        .iter()
        .map(|one| one["start"].as_str().unwrap())
        .collect();
    assert_eq!(
        starts,
        ["2027-03-29T08:00:00Z", "2027-04-05T08:00:00Z"],
        "all of them"
    );
    let left: i64 = sqlx::query_scalar("SELECT count(*) FROM appointments.appointment")
        .fetch_one(&clinic.database)
        .await
        .unwrap();
    assert_eq!(left, 2);
    let night = clinic.clinician(&location, "00:00", "24:00").await;
    let mut skipped = series(&one, &service, "2027-03-21T01:30:00", 2);
    skipped["resourceIds"] = json!([night]);
    let answer = clinic
        .post("/api/appointment-series", skipped)
        .await
        .is(422);
    assert_eq!(answer.problem(), "nonexistent-local-time");
    for occurrences in [0, 1, 53] {
        let wrong = series(&one, &service, "2027-03-22T09:00:00Z", occurrences);
        clinic.post("/api/appointment-series", wrong).await.is(400);
    }
    clinic.must_be_consistent().await;
}
