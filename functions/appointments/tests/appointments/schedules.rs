//! Setting up locations, resources, services and hours.

use identity::Role;
use serde_json::json;
use sqlx::PgPool;
use uuid::Uuid;

use crate::clinic::{Clinic, at, in_days};

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_location_has_a_zone_that_exists(database: PgPool) {
    let clinic = Clinic::new(database);
    for zone in ["", "Europe/Atlantis", "UTC+5", "+01:00"] {
        let answer = clinic
            .post(
                "/api/locations",
                json!({ "name": "Here", "timeZone": zone }),
            )
            .await
            .is(400);
        assert!(
            answer.body["errors"]["timeZone"].is_string(),
            "{}",
            answer.text
        );
    }
    let id = clinic.location("europe/london").await;
    let list = clinic.get("/api/locations").await.is(200);
    assert_eq!(list.body["locations"][0]["id"], id);
    assert_eq!(list.body["locations"][0]["timeZone"], "Europe/London");
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_service_is_validated_field_by_field(database: PgPool) {
    let clinic = Clinic::new(database);
    let wrong = json!({
        "code": "a b", "name": "", "durationMinutes": 0, "bufferAfterMinutes": -1,
        "gridMinutes": 1441, "noticeMinutes": -1, "capacity": 0, "resourceKinds": [],
        "reminderMinutes": [0],
    });
    let answer = clinic.post("/api/services", wrong.clone()).await.is(400);
    let errors = answer.body["errors"].as_object().unwrap();
    for field in wrong.as_object().unwrap().keys() {
        assert!(errors.contains_key(field), "{field}: {}", answer.text);
    }
    let code = json!({ "code": "ONCE" });
    clinic.service(code).await;
    let again = json!({ "code": "ONCE", "name": "Again", "durationMinutes": 10 });
    let answer = clinic.post("/api/services", again).await.is(409);
    assert!(answer.body["errors"]["code"].is_string());
    let list = clinic.get("/api/services").await.is(200);
    assert_eq!(
        list.body["services"][0]["reminderMinutes"],
        json!([2880, 120])
    );
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_resource_is_somewhere(database: PgPool) {
    let clinic = Clinic::new(database);
    let resource = json!({ "kind": "ROOM", "name": "1", "locationId": Uuid::now_v7() });
    clinic.post("/api/resources", resource).await.is(400);
    let location = clinic.location("UTC").await;
    let room = clinic.resource("ROOM", &location).await;
    clinic.works(&room, "09:00", "17:00").await;
    clinic.clinician(&location, "08:00", "09:00").await;
    let list = clinic.get("/api/resources?kind=ROOM").await.is(200);
    let rooms = list.body["resources"].as_array().unwrap();
    assert_eq!((rooms.len(), &rooms[0]["id"]), (1, &json!(room)));
    assert_eq!(
        rooms[0]["hours"][0]["weekly"][6],
        json!({ "weekday": "SUNDAY", "from": "09:00", "to": "17:00" })
    );
    clinic.get("/api/resources?kind=CAR").await.is(400);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn hours_are_valid_from_a_date_until_the_next(database: PgPool) {
    let clinic = Clinic::new(database);
    let location = clinic.location("UTC").await;
    let clinician = clinic.clinician(&location, "09:00", "09:30").await;
    let service = clinic.service(json!({})).await;
    let path = format!("/api/resources/{clinician}/hours");
    let later = |from: &str, day: &str| {
        let days = [
            "MONDAY",
            "TUESDAY",
            "WEDNESDAY",
            "THURSDAY",
            "FRIDAY",
            "SATURDAY",
            "SUNDAY",
        ];
        let weekly = days.map(|day| json!({ "weekday": day, "from": from, "to": "20:00" }));
        json!({ "weekly": weekly, "validFrom": day })
    };
    clinic.put(&path, later("19:30", &in_days(5))).await.is(200);
    clinic.put(&path, later("19:00", &in_days(7))).await.is(200);
    let slots = clinic.slots(&service, &in_days(4), &in_days(7), "").await;
    assert_eq!(
        slots,
        [
            at(4, "09:00"),
            at(5, "19:30"),
            at(6, "19:30"),
            at(7, "19:00"),
            at(7, "19:30")
        ]
    );
    // From a date on, they replace what was to come after it.
    clinic.put(&path, later("19:30", &in_days(6))).await.is(200);
    assert_eq!(
        clinic.slots(&service, &in_days(7), &in_days(7), "").await,
        [at(7, "19:30")]
    );
    for wrong in [
        json!({ "weekly": [{ "weekday": "MONDAY", "from": "09:00", "to": "08:00" }] }),
        json!({ "weekly": [{ "weekday": "Monday", "from": "09:00", "to": "10:00" }] }),
        json!({ "weekly": [{ "weekday": "MONDAY", "from": "9:00", "to": "10:00" }] }),
        json!({ "weekly": [], "validFrom": "tomorrow" }),
        json!({}),
    ] {
        clinic.put(&path, wrong).await.is(400);
    }
    let missing = format!("/api/resources/{}/hours", Uuid::now_v7());
    clinic.put(&missing, json!({ "weekly": [] })).await.is(404);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn schedules_are_set_up_by_those_who_may(database: PgPool) {
    let clinic = Clinic::new(database);
    let location = clinic.location("UTC").await;
    let clinician = clinic.clinician(&location, "09:00", "17:00").await;
    for role in [Role::Clinician, Role::Receptionist, Role::Auditor] {
        let staff = clinic.acting_as(role);
        let here = json!({ "name": "Here", "timeZone": "UTC" });
        staff.post("/api/locations", here).await.is(403);
        staff
            .put(
                &format!("/api/resources/{clinician}/hours"),
                json!({ "weekly": [] }),
            )
            .await
            .is(403);
        staff.get("/api/locations").await.is(200);
    }
    let absence = json!({ "from": at(2, "09:00"), "to": at(2, "10:00"), "reason": "Ill" });
    let path = format!("/api/resources/{clinician}/absences");
    clinic
        .acting_as(Role::Receptionist)
        .post(&path, absence.clone())
        .await
        .is(201);
    clinic
        .acting_as(Role::Auditor)
        .post(&path, absence)
        .await
        .is(403);
}
