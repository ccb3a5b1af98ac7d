//! A patient is first born, then registered, and neither in the future.

use axum::http::{Method, StatusCode};
use chrono::{Days, TimeDelta, Utc};
use serde_json::json;
use sqlx::PgPool;

use crate::fixtures::{Call, with, zoe};

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_date_has_exactly_one_format(database: PgPool) {
    let admin = Call::as_admin(&database);
    for date in [
        "+2024-01-1",
        "  2024-1-1",
        "2024-1-01 ",
        "20240101",
        "2024-01-01T00:00:00Z",
        "0001-01-01",
        "-024-01-01",
        "2023-02-29",
        "٢٠٢٤-٠١-٠١",
    ] {
        for field in ["dateOfBirth", "registeredDate"] {
            let refused = admin.create(&with(zoe(), field, date)).await;
            assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{field} {date:?}");
            assert!(
                refused.body["errors"][field].is_string(),
                "{}",
                refused.body
            );
        }
    }
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn nobody_is_registered_before_their_birth_or_in_the_future(database: PgPool) {
    let admin = Call::as_admin(&database);
    let today = Utc::now().date_naive();
    let born_later = with(zoe(), "registeredDate", "2000-02-28");
    let refused = admin.create(&born_later).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{}", refused.body);
    assert!(refused.body["errors"]["registeredDate"].is_string());
    let tomorrow = (today + Days::new(1)).to_string();
    let refused = admin
        .create(&with(zoe(), "registeredDate", tomorrow.clone()))
        .await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{}", refused.body);

    // An omitted date of registration stays as it is, but has to be consistent all the same.
    let path = format!("/api/patients/{}", admin.created(&zoe()).await);
    let mut moved = with(zoe(), "dateOfBirth", "2024-01-11");
    moved["registeredDate"] = json!(null);
    let refused = admin.send(Method::PUT, &path, Some(&moved)).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{}", refused.body);
    assert!(refused.body["errors"]["registeredDate"].is_string());
    let unchanged = admin.send(Method::GET, &path, None).await;
    assert_eq!(unchanged.body["version"], 1);
    let born_and_registered = with(moved, "dateOfBirth", "2024-01-10");
    let updated = admin
        .send(Method::PUT, &path, Some(&born_and_registered))
        .await;
    assert_eq!(updated.status, StatusCode::OK, "{}", updated.body);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_newborn_may_be_registered_if_it_is_already_tomorrow_somewhere(database: PgPool) {
    let admin = Call::as_admin(&database);
    let today = Utc::now().date_naive();
    let last = (Utc::now() + TimeDelta::hours(14)).date_naive();
    let mut newborn = with(zoe(), "dateOfBirth", last.to_string());
    newborn["registeredDate"] = json!(null);
    let created = admin.create(&newborn).await;
    assert_eq!(created.status, StatusCode::CREATED, "{}", created.body);
    assert_eq!(created.body["registeredDate"], last.to_string());

    let unborn = with(newborn, "dateOfBirth", (last + Days::new(1)).to_string());
    let refused = admin
        .create(&with(unborn, "email", "other@clinic.example"))
        .await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{}", refused.body);
    assert!(last >= today);
}
