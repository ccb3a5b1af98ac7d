//! How long one waits for a service.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use sqlx::PgPool;
use uuid::Uuid;

use crate::clinic::{Clinic, at, in_days};

fn path(service: &str, more: &str) -> String {
    format!("/api/availability/third-next?serviceId={service}{more}")
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn it_is_the_third_of_the_slots_that_can_be_booked(database: PgPool) {
    let clinic = Clinic::new(database);
    let location = clinic.location("UTC").await;
    // Two slots a day, from tomorrow on.
    let clinician = clinic.clinician(&location, "10:00", "12:00").await;
    let service = clinic
        .service(json!({ "durationMinutes": 60, "gridMinutes": 60, "noticeMinutes": 1440 }))
        .await;
    let slots = clinic.slots(&service, &in_days(0), &in_days(7), "").await;
    let answer = clinic.get(&path(&service, "")).await.is(200).body;
    assert_eq!(answer["serviceId"], service);
    assert_eq!(answer["thirdNext"]["start"], slots[2]);
    assert_eq!(answer["thirdNext"]["resourceIds"], json!([clinician]));
    let start: DateTime<Utc> = slots[2].parse().unwrap();
    let days = (start.date_naive() - Utc::now().date_naive()).num_days();
    assert_eq!(answer["days"], days);

    // What is booked does not count.
    let patient = clinic.patient().await;
    let with = [clinician.as_str()];
    clinic
        .book(&patient, &service, &with, &slots[1])
        .await
        .is(201);
    let answer = clinic.get(&path(&service, "")).await.is(200).body;
    assert_eq!(answer["thirdNext"]["start"], slots[3]);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn it_can_be_with_somebody(database: PgPool) {
    let clinic = Clinic::new(database);
    let location = clinic.location("UTC").await;
    clinic.clinician(&location, "00:00", "24:00").await;
    let rare = clinic.clinician(&location, "10:00", "11:00").await;
    let other = clinic.location("Pacific/Kiritimati").await;
    clinic.clinician(&other, "00:00", "24:00").await;
    let service = clinic
        .service(json!({ "durationMinutes": 60, "gridMinutes": 60 }))
        .await;
    let answer = clinic.get(&path(&service, "")).await.is(200).body;
    assert!(answer["days"].as_i64().unwrap() <= 1, "{answer}");
    let start: DateTime<Utc> = answer["thirdNext"]["start"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!((start - Utc::now()).num_minutes() <= 120, "{answer}");

    let with_somebody = path(&service, &format!("&resourceId={rare}"));
    let answer = clinic.get(&with_somebody).await.is(200).body;
    assert_eq!(answer["thirdNext"]["resourceIds"], json!([rare]));
    let days = answer["days"].as_u64().unwrap();
    assert!([2, 3].contains(&days), "{answer}");
    assert_eq!(answer["thirdNext"]["start"], at(days, "10:00"));
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn it_is_null_if_there_are_not_three(database: PgPool) {
    let clinic = Clinic::new(database);
    let location = clinic.location("Europe/London").await;
    clinic.resource("CLINICIAN", &location).await;
    let service = clinic.service(json!({})).await;
    let answer = clinic.get(&path(&service, "")).await.is(200).body;
    let nothing = json!({ "serviceId": service, "thirdNext": Value::Null, "days": Value::Null });
    assert_eq!(answer, nothing);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn what_does_not_exist_is_not_found(database: PgPool) {
    let clinic = Clinic::new(database);
    let unknown = Uuid::now_v7();
    clinic.get(&path(&unknown.to_string(), "")).await.is(404);
    let service = clinic.service(json!({})).await;
    let with_nobody = path(&service, &format!("&resourceId={unknown}"));
    clinic.get(&with_nobody).await.is(404);
    clinic.get("/api/availability/third-next").await.is(400);
    clinic
        .get(&path(&service, "&from=2027-01-01"))
        .await
        .is(400);
}
