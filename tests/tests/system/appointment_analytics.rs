//! From a booking to the analytics, by way of Kafka.

use chrono::{Days, Utc};
use serde_json::{Value, json};
use system_tests::{Clinic, Visitor, eventually};

const WEEKDAYS: [&str; 7] = [
    "MONDAY",
    "TUESDAY",
    "WEDNESDAY",
    "THURSDAY",
    "FRIDAY",
    "SATURDAY",
    "SUNDAY",
];

async fn set_up(visitor: &Visitor, path: &str, what: Value) -> String {
    let answer = visitor.post(path).json(&what).answers(201).await;
    answer.json()["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn an_appointment_is_counted_as_what_becomes_of_it() {
    let clinic = Clinic::open();
    let visitor = clinic.administrator().await;
    let location = json!({ "name": "Analytics", "timeZone": "Etc/UTC" });
    let location = set_up(&visitor, "/api/locations", location).await;
    let clinician = json!({ "kind": "CLINICIAN", "name": "Dr Count", "locationId": location });
    let clinician = set_up(&visitor, "/api/resources", clinician).await;
    let weekly =
        WEEKDAYS.map(|weekday| json!({ "weekday": weekday, "from": "09:00", "to": "17:00" }));
    let hours = format!("/api/resources/{clinician}/hours");
    let hours = visitor.put(&hours).json(&json!({ "weekly": weekly }));
    hours.answers(200).await;
    let service = json!({
        "code": clinician[9..].to_uppercase(), "name": "Count", "durationMinutes": 30,
        "bufferAfterMinutes": 0, "gridMinutes": 30, "noticeMinutes": 0, "capacity": 1,
        "resourceKinds": ["CLINICIAN"],
    });
    let service = set_up(&visitor, "/api/services", service).await;

    let path = format!("/api/availability/third-next?serviceId={service}&resourceId={clinician}");
    let next = visitor.get(&path).answers(200).await.json();
    assert!(
        next["days"].as_u64().is_some_and(|days| days <= 2),
        "{next}"
    );
    let booking = json!({
        "patientId": visitor.register_somebody().await.id, "serviceId": service,
        "resourceIds": [clinician], "start": next["thirdNext"]["start"], "hold": false,
    });
    let id = set_up(&visitor, "/api/appointments", booking).await;
    wait_for(&visitor, &clinician, "booked").await;
    let path = format!("/api/appointments/{id}/cancel");
    let reason = json!({ "reason": "Feels better" });
    visitor.post(&path).json(&reason).answers(200).await;
    let counts = wait_for(&visitor, &clinician, "cancelled").await;
    assert_eq!([&counts["appointments"], &counts["booked"]], [1, 0]);
    let activity = json!({ "booked": 1, "rescheduled": 0, "cancelled": 1 });
    assert_eq!(counts["activity"], activity);
}

/// The figures of this clinician, as soon as they include an appointment in this state, and the change
/// that made it so: the days of both are read one after the other.
async fn wait_for(visitor: &Visitor, clinician: &str, state: &str) -> Value {
    let today = Utc::now().date_naive();
    let (from, to) = (today - Days::new(1), today + Days::new(3));
    let path = format!("/api/analytics/appointments?from={from}&to={to}&groupBy=provider");
    eventually("the appointment in the analytics", async || {
        let body = visitor.get(&path).answers(200).await.json();
        let groups = body["groups"].as_array().unwrap();
        let group = groups.iter().find(|group| group["key"] == clinician)?;
        let is_counted = group[state] == 1 && group["activity"][state] == 1;
        is_counted.then(|| group.clone())
    })
    .await
}
