//! The figures of appointments as clients get them.

use api::ClinicTimeZone;
use axum::body::Body;
use http::{Request, StatusCode};
use identity::{Role, testing::as_caller};
use serde_json::{Value, json};
use store::testing;

use crate::appointment_events::{ARRIVED, answer, booked, count_all, figures, get, group, next};

#[tokio::test]
async fn the_response_has_every_figure() {
    let table = testing::table().await;
    let booking = booked("2026-03-02T08:00:00Z", "2026-03-10T09:00:00", "Etc/UTC");
    let arrived = next(&booking, "2026-03-10T08:55:00Z", ARRIVED);
    let missed = booked("2026-03-10T07:00:00Z", "2026-03-10T10:00:00", "Etc/UTC");
    let no_show = next(
        &missed,
        "2026-03-10T12:00:00Z",
        events::AppointmentChange::NoShow,
    );
    count_all(&table, &[booking, arrived, missed, no_show]).await;
    let body = figures(&table, "?from=2026-03-09&to=2026-03-10").await;
    let nothing = json!({
        "key": "2026-03-09",
        "appointments": 0, "booked": 0, "arrived": 0, "fulfilled": 0, "noShow": 0, "cancelled": 0,
        "rescheduled": 0, "walkIns": 0, "noShowRate": null,
        "minutes": { "booked": 0, "occupied": 0 },
        "leadTimeDays": {
            "average": null,
            "bands": { "0": 0, "1-7": 0, "8-14": 0, "15-30": 0, "31+": 0 },
        },
        "activity": { "booked": 0, "rescheduled": 0, "cancelled": 0 },
    });
    let mut tenth = json!({
        "key": "2026-03-10",
        "appointments": 2, "booked": 0, "arrived": 1, "fulfilled": 0, "noShow": 1, "cancelled": 0,
        "rescheduled": 0, "walkIns": 0, "noShowRate": 0.5,
        "minutes": { "booked": 60, "occupied": 30 },
        "leadTimeDays": {
            "average": 4.0,
            "bands": { "0": 1, "1-7": 0, "8-14": 1, "15-30": 0, "31+": 0 },
        },
        "activity": { "booked": 1, "rescheduled": 0, "cancelled": 0 },
    });
    let groups = json!([nothing, tenth]);
    tenth.as_object_mut().unwrap().remove("key");
    assert_eq!(
        body,
        json!({
            "from": "2026-03-09", "to": "2026-03-10", "groupBy": "day",
            "groups": groups, "totals": tenth,
        })
    );
}

#[tokio::test]
async fn weekdays_and_hours_are_complete() {
    let table = testing::table().await;
    // A Sunday, on which the clocks are put forward.
    let booking = booked(
        "2026-03-02T08:00:00Z",
        "2026-03-29T09:30:00",
        "Europe/London",
    );
    count_all(&table, &[booking]).await;
    for (group_by, number, key) in [
        ("day", 31, "2026-03-29"),
        ("weekday", 7, "SUNDAY"),
        ("hour", 24, "09"),
        ("weekdayHour", 168, "SUNDAY-09"),
    ] {
        let query = format!("?from=2026-03-01&to=2026-03-31&groupBy={group_by}");
        let body = figures(&table, &query).await;
        assert_eq!(body["groupBy"], group_by);
        let groups = body["groups"].as_array().unwrap();
        assert_eq!(groups.len(), number);
        assert_eq!(group(&body, key)["minutes"]["booked"], 30);
        assert_eq!(body["totals"]["booked"], 1);
        let keys: Vec<&str> = groups
            .iter()
            .map(|one| one["key"].as_str().unwrap())
            .collect();
        match group_by {
            "weekday" => assert_eq!((keys[0], keys[6]), ("MONDAY", "SUNDAY")),
            "hour" => assert_eq!((keys[0], keys[23]), ("00", "23")),
            _ => {}
        }
    }
}

#[tokio::test]
async fn a_period_reads_nothing_before_or_after_it() {
    let table = testing::table().await;
    for day in ["2026-02-28", "2026-03-01", "2026-03-31", "2026-04-01"] {
        for time in ["00:00:00", "23:59:00"] {
            let start = format!("{day}T{time}");
            count_all(&table, &[booked("2026-01-02T08:00:00Z", &start, "Etc/UTC")]).await;
        }
    }
    for (from, to, number) in [
        ("2026-03-01", "2026-03-31", 4),
        ("2026-03-31", "2026-04-01", 4),
        ("2026-02-28", "2026-02-28", 2),
        ("2025-06-01", "2026-05-31", 8),
    ] {
        for group_by in ["day", "provider"] {
            let query = format!("?from={from}&to={to}&groupBy={group_by}");
            let body = figures(&table, &query).await;
            assert_eq!(body["totals"]["booked"], number, "{query}");
        }
    }
}

#[tokio::test]
async fn the_default_is_the_last_thirty_days_at_the_clinic() {
    let table = testing::table().await;
    let clinic = ClinicTimeZone::parse("Pacific/Kiritimati").unwrap();
    let request = Request::get("/api/analytics/appointments")
        .body(Body::empty())
        .unwrap();
    let before = clinic.day(chrono::Utc::now()).to_string();
    let (status, body) = answer(&table, clinic, as_caller(request, Role::Admin)).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    let after = clinic.day(chrono::Utc::now()).to_string();
    assert!(body["to"] == before || body["to"] == after, "{body}");
    assert_eq!(body["groups"].as_array().map(Vec::len), Some(30));
}

#[tokio::test]
async fn an_invalid_parameter_is_named() {
    for (query, field) in [
        ("?from=yesterday", "from"),
        ("?to=2026-02-30", "to"),
        ("?from=2026-05-02&to=2026-05-01", "from"),
        ("?from=2025-01-01&to=2026-05-01", "from"),
        ("?groupBy=month", "groupBy"),
        ("?groupBy=DAY", "groupBy"),
        ("?groupBy=day&groupBy=hour", "groupBy"),
        ("?patientId=7", "patientId"),
    ] {
        let (status, body) = get(&testing::table().await, query).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{query}");
        let errors = body["errors"].as_object().unwrap();
        assert_eq!(errors.keys().collect::<Vec<_>>(), [field], "{query}");
    }
}

#[tokio::test]
async fn only_permitted_roles_may_query_analytics() {
    let table = testing::table().await;
    let request = || {
        let request = Request::get("/api/analytics/appointments?from=wrong");
        request.body(Body::empty()).unwrap()
    };
    for (request, expected) in [
        (request(), StatusCode::UNAUTHORIZED),
        (
            as_caller(request(), Role::Receptionist),
            StatusCode::FORBIDDEN,
        ),
        (
            as_caller(request(), Role::Clinician),
            StatusCode::BAD_REQUEST,
        ),
    ] {
        let (status, body) = answer(&table, ClinicTimeZone::UTC, request).await;
        assert_eq!(status, expected, "{body}");
    }
    let empty = figures(&table, "?groupBy=service").await;
    assert_eq!(empty["groups"], Value::Array(Vec::new()));
}
