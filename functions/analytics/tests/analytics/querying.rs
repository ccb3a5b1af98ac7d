//! The responses to clients.

use axum::body::Body;
use chrono::Utc;
use events::Change;
use http::{Request, StatusCode};
use identity::{Role, testing::as_caller};
use serde_json::json;
use store::testing;

use crate::fixtures::{answer, born_on, count_all, event, get};

#[tokio::test]
async fn analytics_include_every_day_of_the_period() {
    let table = testing::table().await;
    count_all(
        &table,
        &[
            event("2024-02-27T12:00:00Z", Change::Deleted),
            event(
                "2024-02-28T12:00:00Z",
                Change::Created(born_on("1990-01-01")),
            ),
            event(
                "2024-03-01T12:00:00Z",
                Change::Updated(born_on("1990-01-01")),
            ),
            event("2024-03-02T12:00:00Z", Change::Deleted),
        ],
    )
    .await;
    let (status, body) = get(table, "?from=2024-02-28&to=2024-03-01").await;
    assert_eq!(status, StatusCode::OK);

    let none = json!({ "0-17": 0, "18-29": 0, "30-44": 0, "45-59": 0, "60-74": 0, "75+": 0 });
    let one = json!({ "0-17": 0, "18-29": 0, "30-44": 1, "45-59": 0, "60-74": 0, "75+": 0 });
    assert_eq!(
        body,
        json!({
            "from": "2024-02-28",
            "to": "2024-03-01",
            "totals": { "created": 1, "updated": 1, "deleted": 0, "restored": 0, "erased": 0, "merged": 0, "unmerged": 0, "ageBands": one },
            "days": [
                { "date": "2024-02-28", "created": 1, "updated": 0, "deleted": 0, "restored": 0, "erased": 0, "merged": 0, "unmerged": 0, "ageBands": one },
                { "date": "2024-02-29", "created": 0, "updated": 0, "deleted": 0, "restored": 0, "erased": 0, "merged": 0, "unmerged": 0, "ageBands": none },
                { "date": "2024-03-01", "created": 0, "updated": 1, "deleted": 0, "restored": 0, "erased": 0, "merged": 0, "unmerged": 0, "ageBands": none },
            ],
        })
    );
}

#[tokio::test]
async fn analytics_of_a_whole_year_are_complete() {
    let table = testing::table().await;
    let time = |month| format!("2024-{month:02}-15T12:00:00Z");
    let events: Vec<_> = (1..=12)
        .map(|month| event(&time(month), Change::Deleted))
        .collect();
    count_all(&table, &events).await;
    let (_, body) = get(table, "?from=2024-01-01&to=2024-12-31").await;
    assert_eq!(body["totals"]["deleted"], 12);
    assert_eq!(body["days"].as_array().unwrap().len(), 366);
}

#[tokio::test]
async fn the_default_period_is_the_last_thirty_days() {
    let table = testing::table().await;
    let before = Utc::now();
    count_all(&table, &[event(&before.to_rfc3339(), Change::Deleted)]).await;
    let (status, body) = get(table, "").await;
    assert_eq!(status, StatusCode::OK);
    let days = body["days"].as_array().unwrap();
    assert_eq!(days.len(), 30);
    assert_eq!(days[29]["date"], body["to"]);
    assert_eq!(body["totals"]["deleted"], 1);
}

#[tokio::test]
async fn an_invalid_date_is_named() {
    for (query, field) in [
        ("?from=yesterday", "from"),
        ("?to=2024-02-30", "to"),
        ("?from=0000-12-31", "from"),
        ("?to=2024-05-01T00:00:00+01:00", "to"),
        ("?from=2024-05-02&to=2024-05-01", "from"),
        ("?from=2023-01-01&to=2024-05-01", "from"),
        ("?from=2024-05-01&to=%F0%9F%A9%BA", "to"),
        ("?from=%27%20OR%201=1&to=2024-05-01", "from"),
        ("?from=2024-05-01&from=2024-05-02", "from"),
        ("?since=2024-05-01", "since"),
        ("?patientId=7", "patientId"),
    ] {
        let (status, body) = get(testing::table().await, query).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{query}");
        assert_eq!(body["type"], "urn:patient-management:problem:invalid-input");
        let errors = body["errors"].as_object().unwrap();
        assert_eq!(errors.keys().collect::<Vec<_>>(), [field], "{query}");
    }
}

#[tokio::test]
async fn a_time_stands_for_its_day() {
    let query = "?from=2024-05-01T23:59:59Z&to=2024-05-03T00:00:00%2B00:00";
    let (status, body) = get(testing::table().await, query).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    assert_eq!(
        (&body["from"], &body["to"]),
        (&"2024-05-01".into(), &"2024-05-02".into())
    );
    let (status, body) = get(testing::table().await, "?from=&to=").await;
    assert_eq!(status, StatusCode::OK, "{body}");
    assert_eq!(body["days"].as_array().unwrap().len(), 30);
}

#[tokio::test]
async fn two_invalid_dates_are_both_named() {
    let (_, body) = get(testing::table().await, "?from=a&to=b").await;
    assert_eq!(body["errors"].as_object().unwrap().len(), 2, "{body}");
    let (_, body) = get(testing::table().await, "?to=2024-05-01T00:00:00+01:00").await;
    let said = body["errors"]["to"].as_str().unwrap();
    assert!(said.contains("%2B"), "{said}");
}

#[tokio::test]
async fn a_malformed_query_string_is_rejected() {
    for query in ["?from=2024-05-01&from=2024-05-02", "?from=%ff"] {
        let (status, body) = get(testing::table().await, query).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{query}: {body}");
    }
}

#[tokio::test]
async fn only_permitted_roles_may_query_analytics() {
    let path = "/api/analytics/patients?from=wrong";
    let request = || Request::get(path).body(Body::empty()).unwrap();
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
        let (status, _) = answer(testing::table().await, request).await;
        assert_eq!(status, expected);
    }
}
