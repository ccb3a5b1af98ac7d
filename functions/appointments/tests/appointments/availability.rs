//! When a service can be had.

use serde_json::json;
use sqlx::PgPool;

use crate::clinic::{Clinic, at, in_days};

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn opening_hours_follow_the_clocks_of_the_location(database: PgPool) {
    let clinic = Clinic::new(database);
    let service = clinic
        .service(json!({ "durationMinutes": 60, "gridMinutes": 60 }))
        .await;
    for (zone, day, first, last) in [
        ("Europe/London", "2026-03-28", "13:00", "17:00"),
        ("Europe/London", "2026-03-29", "12:00", "16:00"),
        ("America/New_York", "2026-03-07", "18:00", "22:00"),
        ("America/New_York", "2026-03-08", "17:00", "21:00"),
    ] {
        let location = clinic.location(zone).await;
        let clinician = clinic.clinician(&location, "13:00", "18:00").await;
        let slots = clinic
            .slots(&service, day, day, &format!("&resourceId={clinician}"))
            .await;
        assert_eq!(slots.len(), 5, "{zone} {day}");
        assert_eq!(slots[0], format!("{day}T{first}:00Z"));
        assert_eq!(slots[4], format!("{day}T{last}:00Z"));
    }
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn an_hour_that_comes_twice_has_slots_twice(database: PgPool) {
    let clinic = Clinic::new(database);
    let service = clinic.service(json!({})).await;
    let london = clinic.location("Europe/London").await;
    clinic.clinician(&london, "00:30", "03:00").await;
    let spring = clinic.slots(&service, "2026-03-29", "2026-03-29", "").await;
    let expected = [
        "2026-03-29T00:30:00Z",
        "2026-03-29T01:00:00Z",
        "2026-03-29T01:30:00Z",
    ];
    assert_eq!(spring, expected);
    let autumn = clinic.slots(&service, "2026-10-25", "2026-10-25", "").await;
    assert_eq!(autumn.len(), 7);
    assert_eq!(autumn[0], "2026-10-24T23:30:00Z");
    for twice in ["2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"] {
        assert!(autumn.contains(&twice.to_owned()), "{twice}: {autumn:?}");
    }
    let path = format!("/api/availability?serviceId={service}&from=2026-10-25&to=2026-10-25");
    let answer = clinic.get(&path).await.is(200);
    let local: Vec<&str> = answer.body["slots"]
        .as_array()
        .unwrap()
        .iter()
        .map(|slot| slot["localStart"].as_str().unwrap())
        .collect();
    assert!(
        local.contains(&"2026-10-25T01:30:00+01:00")
            && local.contains(&"2026-10-25T01:30:00+00:00")
    );
    assert_eq!(answer.body["slots"][0]["timeZone"], "Europe/London");
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_time_that_the_clocks_skip_is_never_offered(database: PgPool) {
    let clinic = Clinic::new(database);
    let service = clinic.service(json!({})).await;
    let new_york = clinic.location("America/New_York").await;
    clinic.clinician(&new_york, "00:00", "24:00").await;
    let skipped = clinic.slots(&service, "2026-03-08", "2026-03-08", "").await;
    assert_eq!(skipped.len(), 46);
    let repeated = clinic.slots(&service, "2026-11-01", "2026-11-01", "").await;
    assert_eq!(repeated.len(), 50);
    for start in ["2026-11-01T05:30:00Z", "2026-11-01T06:30:00Z"] {
        assert!(repeated.contains(&start.to_owned()));
    }
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn zones_whose_rules_changed_in_2026_are_right(database: PgPool) {
    let clinic = Clinic::new(database);
    let service = clinic.service(json!({})).await;
    for (zone, noon) in [
        ("America/Vancouver", "19:00"),
        ("America/Edmonton", "18:00"),
        ("America/Winnipeg", "17:00"),
    ] {
        let location = clinic.location(zone).await;
        let clinician = clinic.clinician(&location, "12:00", "12:30").await;
        let only = format!("&resourceId={clinician}");
        let slots = clinic
            .slots(&service, "2026-12-15", "2026-12-15", &only)
            .await;
        assert_eq!(slots, [format!("2026-12-15T{noon}:00Z")], "{zone}");
    }
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn what_is_booked_is_not_free_and_buffers_count(database: PgPool) {
    let clinic = Clinic::new(database);
    let location = clinic.location("UTC").await;
    let clinician = clinic.clinician(&location, "09:00", "12:00").await;
    let service = clinic.service(json!({ "bufferAfterMinutes": 10 })).await;
    let (day, patient) = (in_days(5), clinic.patient().await);
    assert_eq!(clinic.slots(&service, &day, &day, "").await.len(), 6);
    clinic
        .book(&patient, &service, &[&clinician], &at(5, "10:00"))
        .await
        .is(201);
    let slots = clinic.slots(&service, &day, &day, "").await;
    // 9:30 would need its buffer until 10:10, and 10:30 begins within the buffer until 10:40.
    assert_eq!(slots, [at(5, "09:00"), at(5, "11:00"), at(5, "11:30")]);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn exceptions_closures_and_absences_come_before_weekly_hours(database: PgPool) {
    let clinic = Clinic::new(database);
    let location = clinic.location("UTC").await;
    let clinician = clinic.clinician(&location, "09:00", "11:00").await;
    let service = clinic.service(json!({})).await;
    let (exception, closed, absent) = (in_days(3), in_days(4), in_days(5));
    let path = |day: &str| format!("/api/resources/{clinician}/exceptions/{day}");
    let hours = json!({ "hours": [{ "from": "14:00", "to": "15:00" }] });
    clinic.put(&path(&exception), hours).await.is(200);
    let closure = format!("/api/locations/{location}/closures/{closed}");
    clinic
        .put(&closure, json!({ "reason": "Bank holiday" }))
        .await
        .is(200);
    let absence = json!({ "from": at(5, "09:30"), "to": at(5, "10:30"), "reason": "Training" });
    clinic
        .post(&format!("/api/resources/{clinician}/absences"), absence)
        .await
        .is(201);
    let slots = clinic.slots(&service, &exception, &absent, "").await;
    let expected = [
        at(3, "14:00"),
        at(3, "14:30"),
        at(5, "09:00"),
        at(5, "10:30"),
    ];
    assert_eq!(slots, expected);
    clinic.delete(&closure).await.is(204);
    assert_eq!(clinic.slots(&service, &closed, &closed, "").await.len(), 4);
    clinic
        .put(&path(&exception), json!({ "hours": [] }))
        .await
        .is(200);
    assert!(
        clinic
            .slots(&service, &exception, &exception, "")
            .await
            .is_empty()
    );
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_service_needs_one_resource_of_each_kind(database: PgPool) {
    let clinic = Clinic::new(database);
    let location = clinic.location("UTC").await;
    let elsewhere = clinic.location("UTC").await;
    let clinician = clinic.clinician(&location, "09:00", "11:00").await;
    let service = clinic
        .service(json!({ "resourceKinds": ["CLINICIAN", "ROOM"] }))
        .await;
    let day = in_days(3);
    let far_away = clinic.resource("ROOM", &elsewhere).await;
    clinic.works(&far_away, "09:00", "17:00").await;
    assert!(
        clinic.slots(&service, &day, &day, "").await.is_empty(),
        "the room is elsewhere"
    );
    let room = clinic.resource("ROOM", &location).await;
    clinic.works(&room, "10:00", "17:00").await;
    let path = format!("/api/availability?serviceId={service}&from={day}&to={day}");
    let answer = clinic.get(&path).await.is(200);
    assert_eq!(answer.body["slots"].as_array().unwrap().len(), 2);
    assert_eq!(
        answer.body["slots"][0]["resourceIds"],
        json!([clinician, room])
    );
    assert_eq!(answer.body["slots"][0]["start"], at(3, "10:00"));
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn notice_and_horizon_limit_what_can_be_booked(database: PgPool) {
    let clinic = Clinic::new(database);
    let location = clinic.location("UTC").await;
    clinic.clinician(&location, "00:00", "24:00").await;
    let soon = clinic.service(json!({ "noticeMinutes": 2 * 1440 })).await;
    let slots = clinic.slots(&soon, &in_days(0), &in_days(3), "").await;
    assert!(slots[0] >= in_days(2), "{}", slots[0]);
    let far = clinic.service(json!({ "horizonDays": 2 })).await;
    assert!(
        clinic
            .slots(&far, &in_days(4), &in_days(5), "")
            .await
            .is_empty()
    );
    let past = clinic.slots(&soon, "2026-03-28", "2026-03-28", "").await;
    assert_eq!(
        past.len(),
        48,
        "days in the past show what they had to offer"
    );
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_period_is_at_most_31_days(database: PgPool) {
    let clinic = Clinic::new(database);
    let service = clinic.service(json!({})).await;
    for (from, to, status) in [
        ("2027-01-01", "2027-01-31", 200),
        ("2027-01-01", "2027-02-01", 400),
        ("2027-01-02", "2027-01-01", 400),
        ("2027-1-1", "2027-01-01", 400),
        ("2027-02-30", "2027-03-01", 400),
    ] {
        let path = format!("/api/availability?serviceId={service}&from={from}&to={to}");
        clinic.get(&path).await.is(status);
    }
    let unknown = uuid::Uuid::now_v7();
    clinic
        .get(&format!(
            "/api/availability?serviceId={unknown}&from=2027-01-01&to=2027-01-02"
        ))
        .await
        .is(404);
    clinic
        .get("/api/availability?from=2027-01-01&to=2027-01-02")
        .await
        .is(400);
    let resource = format!(
        "/api/availability?serviceId={service}&from=2027-01-01&to=2027-01-02&resourceId={unknown}"
    );
    clinic.get(&resource).await.is(404);
}
