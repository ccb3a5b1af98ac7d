//! The links in messages to patients.

use axum::{body::Body, http::Request};
use serde_json::json;
use sqlx::PgPool;
use uuid::Uuid;

use crate::clinic::{Answer, Clinic};

async fn booked(clinic: &Clinic) -> (String, String) {
    let location = json!({ "name": "<Harbour> & Co", "timeZone": "Europe/London" });
    let location = clinic.post("/api/locations", location).await.is(201).id();
    let clinician = clinic.clinician(&location, "00:00", "24:00").await;
    let service = clinic.service(json!({ "name": "Oncology" })).await;
    let patient = clinic.patient().await;
    let id = clinic
        .book(&patient, &service, &[&clinician], "2027-06-01T12:00:00Z")
        .await
        .is(201)
        .id();
    let token: Uuid =
        sqlx::query_scalar("SELECT link_token FROM appointments.appointment WHERE id = $1")
            .bind(Uuid::parse_str(&id).unwrap())
            .fetch_one(&clinic.database)
            .await
            .unwrap();
    (id, format!("/appointment-links/{token}"))
}

async fn visit(clinic: &Clinic, path: &str) -> Answer {
    clinic
        .answer(Request::get(path).body(Body::empty()).unwrap())
        .await
}

async fn press(clinic: &Clinic, path: &str, action: &str) -> Answer {
    let request = Request::post(path)
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Body::from(format!("action={action}")));
    clinic.answer(request.unwrap()).await
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_page_says_when_and_where_and_changes_nothing(database: PgPool) {
    let clinic = Clinic::new(database);
    let (id, link) = booked(&clinic).await;
    for _ in 0..3 {
        let page = visit(&clinic, &link).await.is(200);
        assert!(
            page.text.contains("Tuesday, 1 June 2027, 13:00"),
            "{}",
            page.text
        );
        assert!(page.text.contains("&lt;Harbour&gt; &amp; Co"));
        assert!(!page.text.contains("Oncology") && !page.text.contains("CLINICIAN"));
    }
    let read = clinic.get(&format!("/api/appointments/{id}")).await.is(200);
    assert_eq!(
        (&read.body["version"], &read.body["status"]),
        (&json!(1), &json!("BOOKED"))
    );
    visit(&clinic, &format!("/appointment-links/{}", Uuid::new_v4()))
        .await
        .is(404);
    visit(&clinic, "/appointment-links/7").await.is(404);
    press(
        &clinic,
        &format!("/appointment-links/{}", Uuid::new_v4()),
        "cancel",
    )
    .await
    .is(404);
    let nobodys: i64 =
        sqlx::query_scalar("SELECT count(*) FROM audit.record WHERE outcome <> 'SUCCEEDED'")
            .fetch_one(&clinic.database)
            .await
            .unwrap();
    assert_eq!(nobodys, 0, "what anybody can cause is not recorded");
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_patient_confirms_and_cancels_once(database: PgPool) {
    let clinic = Clinic::new(database);
    let (id, link) = booked(&clinic).await;
    press(&clinic, &link, "confirm").await.is(200);
    let again = press(&clinic, &link, "confirm").await.is(200);
    assert!(again.text.contains("we expect you"));
    let read = clinic.get(&format!("/api/appointments/{id}")).await.is(200);
    assert_eq!(read.body["version"], 2);
    assert!(read.body["patientConfirmedAt"].is_string());
    press(&clinic, &link, "dance").await.is(400);
    for _ in 0..2 {
        let page = press(&clinic, &link, "cancel").await.is(200);
        assert!(page.text.contains("is cancelled"));
    }
    press(&clinic, &link, "confirm").await.is(200);
    let read = clinic.get(&format!("/api/appointments/{id}")).await.is(200);
    assert_eq!(
        (&read.body["status"], &read.body["version"]),
        (&json!("CANCELLED"), &json!(3))
    );
    assert!(read.body["cancellation"]["by"].is_null());
    assert_eq!(clinic.heard(&id).await, ["booked", "cancelled"]);
    clinic.must_be_consistent().await;
}
